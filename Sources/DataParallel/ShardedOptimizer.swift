import CKernels
import MPI
import Monitoring
import ScheduleFree

/// What one optimizer step did, beside changing the parameters.
public struct StepOutcome: Sendable {
  /// Some rank asked to stop; the same on every rank.
  public var stop: Bool
  /// Seconds this rank waited for slower ranks.
  public var waitSeconds: Double
  /// Seconds this rank spent in exchange and update, waiting excluded.
  public var exchangeSeconds: Double
  /// The norm of the whole gradient before clipping, where it was needed; else nil.
  public var gradientNorm: Double?
}

/// The data-parallel step: gradients computed at y on every rank are summed, each rank applies the update rule to its
/// shard, and every rank sees the new y.
///
/// The caller computes gradients as it likes:
/// ```swift
/// let optimizer = try ShardedOptimizer(communicator: world, layout: buckets, rule: rule)
/// try optimizer.initializeParameters { y in … }                            // the same values on every rank
/// while training {
///   computeGradient(at: optimizer.parameters, into: optimizer.gradients)   // 1/ranks of the mean's gradient
///   optimizer.announce(finishedFrom: 0)
///   let outcome = try optimizer.finishStep(stopRequested: false)
/// }
/// ```
/// Gradients of all ranks are **summed**: a caller that wants their mean scales its loss by one over the number of
/// ranks. A rank that computes several lanes (``BucketLayout/laneCount``) adds up their gradients itself, in the fixed
/// tree: see ``LaneGradients``. All methods are collective over the communicator, but for ``announce(finishedFrom:)``. A
/// step allocates nothing. After an `MPIError` ranks may have come apart, and the
/// object must not be used any more.
///
/// Not thread-safe: an object belongs to the one thread of its rank that computes.
public final class ShardedOptimizer {
  /// The exchange in use; ``ExchangeKind/flat`` may stand in for ``ExchangeKind/shared``, see ``exchangeNote``.
  public var exchangeKind: ExchangeKind { exchange.kind }
  /// Why another exchange is in use than the one asked for, in words for people; nil if it is the same.
  public let exchangeNote: String?
  /// How the arena is cut.
  public let layout: BucketLayout
  /// What this rank owns.
  public let shard: Shard
  /// Lanes whose gradients this rank adds up, a power of two.
  public let lanesPerRank: Int
  /// The rule of the first parameter group, and of all parameters where there is no other.
  public var rule: any UpdateRule { rules[0] }
  /// The rule of one parameter group, 0 ..< ``groupCount``, as it is after the last step.
  public func rule(ofGroup group: Int) -> any UpdateRule { rules[group] }
  /// How many parameter groups there are.
  public let groupCount: Int
  /// Steps finished since the start of the run: a restored optimizer counts on.
  public internal(set) var step = 0

  /// y: `layout.elementCount` floats, to compute gradients at. Shared by the ranks of a node where the exchange is
  /// shared: read only, but for initialisation by ``initializeParameters(_:)``.
  public var parameters: UnsafeMutablePointer<Float> { exchange.parameters }
  /// This rank's gradient arena: `layout.elementCount` floats, to be written in every step.
  public var gradients: UnsafeMutablePointer<Float> { exchange.gradients }

  /// Is told what each step does.
  public let recorder: StepRecorder

  let communicator: Communicator
  let exchange: any Exchange
  /// The shard of each state array, one per slot of the rules.
  let state: [AlignedBuffer]
  let segments: SegmentTable
  /// One rule per parameter group; ``groupCount`` of them, owned by this object. Not an array, whose elements are
  /// copied to be read, which allocates in debug builds and makes the next change of a rule allocate in all.
  let rules: UnsafeMutablePointer<any UpdateRule>

  private let clipNorm: Double?
  let joinsAfter: UnsafeMutablePointer<Int>
  /// The summed gradient of the shard, needed only where something must be known of all of it before the update.
  private let reducedGradient: AlignedBuffer?
  private let streamsY: Bool
  private let globalSums: [GlobalSum]
  private let sumCount: Int
  private let sumCapacity: Int
  private let usesLoss: Bool
  /// This step's ``globalSums`` and behind them the loss, one row per lane and at last the total in the first: room
  /// for ``maximumSumCount`` numbers a lane, owned by this object.
  private let totals: UnsafeMutablePointer<Double>
  /// Steps finished by this object: exchanges count from here, whatever step a resumed run is at.
  private var exchangeStep = 0
  private var bucketsAnnounced = 0

  /// An optimizer with one rule for all parameters. Collective over `communicator`.
  ///
  /// - Parameters:
  ///   - communicator: the ranks that train together.
  ///   - layout: how the flat arena of parameters is cut.
  ///   - rule: the update rule, with its counters at the start.
  ///   - exchange: how gradients travel. The shared exchange gives way to the flat one where ranks are on several
  ///     nodes or shared memory cannot be had.
  ///   - clipNorm: the largest Euclidean norm of the whole gradient; longer ones are scaled down to it. Nil: no
  ///     clipping.
  ///   - largestSum: how many numbers ``sumOverRanks(_:count:)`` is to take at a time.
  ///   - recorder: is told what each step does, for watchdogs, summaries and timelines.
  /// - Throws: `MPIError`, ``DataParallelError``.
  public convenience init(
    communicator: Communicator, layout: BucketLayout, rule: any UpdateRule, exchange: ExchangeKind = .shared,
    clipNorm: Double? = nil, largestSum: Int = 0, recorder: StepRecorder = StepRecorder()
  ) throws {
    try self.init(
      communicator: communicator, layout: layout,
      groups: [ParameterGroup(rule: rule, ranges: [0..<layout.elementCount])], exchange: exchange, clipNorm: clipNorm,
      largestSum: largestSum, recorder: recorder)
  }

  /// An optimizer with a rule for each of several groups of parameters. Collective over `communicator`.
  ///
  /// - Parameters:
  ///   - communicator: the ranks that train together.
  ///   - layout: how the flat arena of parameters is cut.
  ///   - groups: rules and the arena elements they are for, the same on every rank.
  ///   - exchange: how gradients travel, as above.
  ///   - clipNorm: the largest Euclidean norm of the gradient of all groups that have joined. Nil: no clipping. The
  ///     rules' global sums are of the gradient as it was before clipping: a step size that divides by its norm would
  ///     otherwise grow as much as the gradient was scaled down.
  ///   - largestSum: how many numbers ``sumOverRanks(_:count:)`` is to take at a time.
  ///   - recorder: is told what each step does.
  /// - Throws: `MPIError`; ``DataParallelError``, where groups overlap, leave elements out or keep other state than
  ///   each other, or lanes cannot be divided over the ranks.
  public init(
    communicator: Communicator, layout: BucketLayout, groups: [ParameterGroup], exchange kind: ExchangeKind = .shared,
    clipNorm: Double? = nil, largestSum: Int = 0, recorder: StepRecorder = StepRecorder()
  ) throws {
    try groups.check(elementCount: layout.elementCount)
    let rule = groups[0].rule
    let lanesPerRank = try layout.lanesPerRank(of: communicator.size)
    let sumCapacity = max(lanesPerRank * maximumSumCount, largestSum)
    let (exchange, note) = try Self.makeExchange(
      kind, communicator: communicator, layout: layout, sumCapacity: sumCapacity)
    let shard = layout.shard(rank: communicator.rank, of: communicator.size)
    let state = try rule.stateSlots.map { try AlignedBuffer(count: shard.count, for: "the shard of \($0.name)") }
    globalSums = rule.globalSums
    sumCount = rule.globalSums.count
    usesLoss = rule.usesLoss
    let arenaCount = (exchange.kind == .shared ? communicator.size : 1) + 1 + state.count
    streamsY = CachePolicy.streamsY(byteCount: arenaCount * layout.elementCount * MemoryLayout<Float>.stride)
    let needsWholeGradient = clipNorm != nil || !rule.globalSums.isEmpty
    reducedGradient = try needsWholeGradient ? AlignedBuffer(count: shard.count, for: "the summed gradient") : nil
    self.recorder = recorder
    recorder.prepare(bucketCount: layout.buckets.count)
    self.communicator = communicator
    self.sumCapacity = sumCapacity
    self.lanesPerRank = lanesPerRank
    self.layout = layout
    self.clipNorm = clipNorm
    self.exchange = exchange
    self.exchangeNote = note
    self.shard = shard
    self.state = state
    segments = SegmentTable(groups: groups, shard: shard, state: state)
    groupCount = groups.count
    rules = .allocate(capacity: groups.count)
    joinsAfter = .allocate(capacity: groups.count)
    for (index, group) in groups.enumerated() {
      (rules + index).initialize(to: group.rule)
      (joinsAfter + index).initialize(to: group.joinsAfter)
    }
    totals = .allocate(capacity: lanesPerRank * maximumSumCount)
    totals.initialize(repeating: 0, count: lanesPerRank * maximumSumCount)
  }

  deinit {
    rules.deinitialize(count: groupCount)
    rules.deallocate()
    joinsAfter.deallocate()
    totals.deallocate()
  }

  /// Gives the node's shared memory back, before the program ends; no pointer and no method may be used afterwards.
  /// Collective. Without this the memory stays until MPI is finalised, whether this object lives or not: freeing it
  /// takes all ranks.
  ///
  /// - Throws: `MPIError`.
  public func close() throws { try exchange.close() }

  private static func makeExchange(
    _ kind: ExchangeKind, communicator: Communicator, layout: BucketLayout, sumCapacity: Int
  ) throws -> (any Exchange, String?) {
    var note: String?
    if kind == .shared {
      let node = try communicator.splitByNode()
      if try communicator.allReduceMin(node.size) == communicator.size {
        do {
          return (try SharedExchange(node: node, layout: layout, sumCapacity: sumCapacity), nil)
        } catch let error as SharedWindowError {
          note = "using the flat exchange: \(error)"
        }
      } else {
        note = "using the flat exchange: the \(communicator.size) ranks run on several nodes"
      }
      try node.free()
    }
    let collective: ExchangeKind = kind == .shared ? .flat : kind
    let made = try CollectiveExchange(
      kind: collective, communicator: communicator, layout: layout, sumCapacity: sumCapacity)
    return (made, note)
  }

  // MARK: - Sums

  /// Replaces each of `count` numbers by its sum over the ranks, added in rank order in double precision: the same bits
  /// on every rank and in every exchange. For what a network must know of the batches of all ranks, as normalisations
  /// over all of them do.
  ///
  /// Collective: every rank takes the same sums in the same order, at any time outside
  /// ``finishStep(stopRequested:loss:)``. Allocates nothing.
  ///
  /// - Parameters:
  ///   - values: the numbers, which become sums.
  ///   - count: how many; at most the `largestSum` that the object was made for.
  /// - Throws: ``DataParallelError/wrongElementCount(what:expected:found:)``; `MPIError`.
  public func sumOverRanks(_ values: UnsafeMutablePointer<Double>, count: Int) throws {
    guard count <= sumCapacity else {
      throw DataParallelError.wrongElementCount(what: "a sum over the ranks", expected: sumCapacity, found: count)
    }
    let phase = recorder.main.phase
    recorder.main.enter(.summing)
    try exchange.sum(values, count: count, rows: 1)
    recorder.main.enter(phase)
  }

  // MARK: - The step

  /// Announces that this rank's gradients at all offsets of at least `offset` are final for this step, and that it
  /// will not read the parameters there again before the step ends. Offsets only go down within a step; 0 announces
  /// everything.
  public func announce(finishedFrom offset: Int) {
    var announced = bucketsAnnounced
    while announced < layout.buckets.count, layout.buckets[announced].lowerBound >= offset { announced += 1 }
    guard announced > bucketsAnnounced else { return }
    recorder.announce(buckets: bucketsAnnounced, announced)
    bucketsAnnounced = announced
    exchange.announce(step: exchangeStep, bucketCount: announced)
  }

  /// Sums gradients over the ranks, updates this rank's shard, and returns when every rank's new y can be read.
  ///
  /// - Parameters:
  ///   - stopRequested: this rank wishes that training stops after this step.
  ///   - loss: this rank's part of the loss at y, for rules that use it; others do not look at it. Parts are
  ///     **summed** over the ranks, as gradients are: a caller whose loss is a mean over its own examples scales it by
  ///     one over the number of ranks. Every rank gives one, or none does. A rank of several lanes gives
  ///     the loss of each, with ``finishStep(stopRequested:laneLosses:)``.
  /// - Returns: whether some rank asked to stop, and where time went.
  /// - Throws: `MPIError`; ``DataParallelError/lossMissing(rule:)`` before anything is exchanged;
  ///   ``DataParallelError/nonFiniteGradient(norm:step:)``, ``DataParallelError/nonFiniteTotal(name:value:step:)`` and
  ///   ``DataParallelError/nonFiniteLoss(value:step:)`` on every rank, if clipping or the rule meets such a norm, sum
  ///   or loss. The parameters and the state are then as they were, and another step may follow.
  public func finishStep(stopRequested: Bool, loss: Double? = nil) throws -> StepOutcome {
    guard let loss, lanesPerRank == 1 else { return try finishStep(stopRequested: stopRequested, laneLosses: nil) }
    return try withUnsafePointer(to: loss) { try finishStep(stopRequested: stopRequested, laneLosses: $0) }
  }

  /// As ``finishStep(stopRequested:loss:)``, with the loss of each of this rank's lanes.
  ///
  /// - Parameters:
  ///   - stopRequested: as above.
  ///   - laneLosses: ``lanesPerRank`` numbers, each the part of one lane, in lane order; nil for rules that do not use
  ///     the loss. They are added up over all lanes in lane order.
  public func finishStep(stopRequested: Bool, laneLosses: UnsafePointer<Double>?) throws -> StepOutcome {
    let start = monotonicSeconds()
    if usesLoss && laneLosses == nil { throw DataParallelError.lossMissing(rule: rule.name) }
    exchange.waitSeconds = 0
    announce(finishedFrom: 0)
    recorder.main.enter(.waiting, bucket: layout.buckets.count - 1)
    try exchange.beginExchange(step: exchangeStep, stopRequested: stopRequested)
    var gradientNorm: Double?
    var scale: Float = 1
    if let reducedGradient {
      try reduce(into: reducedGradient)
      if let clipNorm {
        let norm = try norm(of: reducedGradient)
        gradientNorm = norm
        scale = norm > clipNorm ? Float(clipNorm / norm) : 1
      }
    }
    try takeTotals(laneLosses)
    for group in 0..<groupCount where hasJoined(group) {
      rules[group].beginStep(
        StepTotals(loss: usesLoss ? totals[sumCount] : .nan, sums: sumCount > 0 ? UnsafePointer(totals) : nil))
    }
    try update(scale: scale)
    step += 1
    let stop = try endStep()
    let wait = exchange.waitSeconds
    return StepOutcome(
      stop: stop, waitSeconds: wait, exchangeSeconds: monotonicSeconds() - start - wait, gradientNorm: gradientNorm)
  }

  /// Whether a group takes part in the step at hand.
  @inline(__always)
  private func hasJoined(_ group: Int) -> Bool { step >= joinsAfter[group] }

  /// Waits for all ranks; afterwards the next step may begin.
  ///
  /// - Returns: whether some rank asked to stop.
  private func endStep() throws -> Bool {
    recorder.main.enter(.finishing)
    let stop = try exchange.finish(step: exchangeStep)
    recorder.main.enter(.reporting)
    exchangeStep += 1
    bucketsAnnounced = 0
    return stop
  }

  /// The pieces of a bucket, once they are there. In shared memory there is nothing to wait for but other ranks.
  private func pieces(ofBucket bucket: Int) throws -> GradientPieces {
    recorder.main.enter(exchange.kind == .shared ? .waiting : .exchanging, bucket: bucket)
    let pieces = try exchange.pieces(step: exchangeStep, bucket: bucket)
    recorder.main.enter(.updating, bucket: bucket)
    return pieces
  }

  /// Sums the ranks' gradients of this rank's shard.
  private func reduce(into reduced: AlignedBuffer) throws {
    for bucket in layout.buckets.indices {
      let pieces = try pieces(ofBucket: bucket)
      fw_sum_tree(
        reduced.pointer + shard.offsets[bucket], pieces.pointers, pieces.count, shard.slices[bucket].count)
    }
  }

  /// The norm of the whole gradient, from squares added in double precision: within a segment in an order fixed by its
  /// length, over the segments of a lane's portions in their order, over lanes in lane order.
  private func norm(of reduced: AlignedBuffer) throws -> Double {
    totals.update(repeating: 0, count: lanesPerRank)
    for index in segments.indices where hasJoined(segments[index].group) {
      let segment = segments[index]
      totals[segment.lane] += fw_sum_squares(reduced.pointer + segment.shardOffset, segment.count)
    }
    recorder.main.enter(.summing)
    try exchange.sum(totals, count: 1, rows: lanesPerRank)
    let norm = totals[0].squareRoot()
    guard norm.isFinite else {
      _ = try endStep()
      throw DataParallelError.nonFiniteGradient(norm: norm, step: step + 1)
    }
    return norm
  }

  /// Adds up what the rules must know of all parameters, in one small collective, into the first row of ``totals``. The
  /// gradient counts as it is before clipping.
  ///
  /// The bits are the same on every rank, in the shared and the flat exchange, and on any number of ranks that the
  /// lanes are divided over. But they follow from the cuts: each segment is added up on its own, then the segments of a
  /// lane's portions in their order, then lanes in theirs. Other groups, buckets or numbers of lanes can change the
  /// last bits.
  private func takeTotals(_ laneLosses: UnsafePointer<Double>?) throws {
    let count = sumCount + (usesLoss ? 1 : 0)
    guard count > 0 else { return }
    totals.update(repeating: 0, count: lanesPerRank * count)
    if sumCount > 0, let reducedGradient {
      for index in segments.indices where hasJoined(segments[index].group) {
        let segment = segments[index]
        withUnsafePointer(to: UnsafePointer(reducedGradient.pointer + segment.shardOffset)) {
          rules[segment.group].addSums(
            over: range(of: segment, gradients: $0, gradientCount: 1, gradientOffset: 0, scale: 1),
            to: totals + segment.lane * count)
        }
      }
    }
    if let laneLosses, usesLoss {
      for lane in 0..<lanesPerRank { totals[lane * count + sumCount] = laneLosses[lane] }
    }
    recorder.main.enter(.summing)
    try exchange.sum(totals, count: count, rows: lanesPerRank)
    for index in 0..<count where !totals[index].isFinite {
      let value = totals[index]
      _ = try endStep()
      guard index < sumCount else { throw DataParallelError.nonFiniteLoss(value: value, step: step + 1) }
      throw DataParallelError.nonFiniteTotal(name: globalSums[index].name, value: value, step: step + 1)
    }
  }

  /// One pass per segment: update the state, write y; where nothing had to be known before, gradients are summed in
  /// the same pass.
  private func update(scale: Float) throws {
    for bucket in layout.buckets.indices {
      if let reducedGradient {
        recorder.main.enter(.updating, bucket: bucket)
        withUnsafePointer(to: UnsafePointer(reducedGradient.pointer + shard.offsets[bucket])) {
          update(bucket: bucket, gradients: $0, gradientCount: 1, scale: scale)
        }
      } else {
        let pieces = try pieces(ofBucket: bucket)
        update(bucket: bucket, gradients: pieces.pointers, gradientCount: pieces.count, scale: scale)
      }
      if exchange.kind != .shared { recorder.main.enter(.publishing, bucket: bucket) }
      try exchange.publish(step: exchangeStep, bucket: bucket)
    }
  }

  private func update(
    bucket: Int, gradients: UnsafePointer<UnsafePointer<Float>>, gradientCount: Int, scale: Float
  ) {
    for index in segments.indices(ofBucket: bucket) where hasJoined(segments[index].group) {
      let segment = segments[index]
      rules[segment.group].update(
        range(
          of: segment, gradients: gradients, gradientCount: gradientCount, gradientOffset: segment.sliceOffset,
          scale: scale))
    }
  }

  private func range(
    of segment: Segment, gradients: UnsafePointer<UnsafePointer<Float>>, gradientCount: Int, gradientOffset: Int,
    scale: Float
  ) -> ElementRange<Float> {
    var range = ElementRange(
      gradients: gradients, gradientCount: gradientCount, gradientOffset: gradientOffset, gradientScale: scale,
      y: exchange.parameters + segment.start, state: segment.state, count: segment.count)
    range.streamsY = streamsY
    return range
  }
}

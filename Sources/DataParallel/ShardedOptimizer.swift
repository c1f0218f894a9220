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
  /// A loss, or something that the update left in y, is not a finite number; the same on every rank. See
  /// ``NonFiniteSteps/reported``.
  public var isNonFinite = false
  /// Why nothing was updated, in a step that was skipped; nil in all others. The same on every rank.
  public var skipped: DataParallelError?
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
/// tree: see ``LaneGradients``. All methods are collective over the communicator, but for ``announce(finishedFrom:)`` and
/// ``awaitParameters(upTo:)``. A step allocates nothing. After an `MPIError` ranks may have come apart, and the object
/// must not be used any more.
///
/// Not thread-safe: an object belongs to the one thread of its rank that computes.
public final class ShardedOptimizer {
  /// The exchange in use; ``ExchangeKind/flat`` may stand in for ``ExchangeKind/shared``, see ``exchangeNote``.
  public var exchangeKind: ExchangeKind { exchange.kind }
  /// The exchange in use, in words for people: also whether it is in two levels, and with what between nodes.
  public var exchangeLabel: String { exchange.label }
  /// Why another exchange is in use than the one asked for, in words for people; nil if it is the same.
  public let exchangeNote: String?
  /// How the arena is cut.
  public let layout: BucketLayout
  /// What this rank owns.
  public var shard: Shard { update.shard }
  /// Lanes whose gradients this rank adds up, a power of two.
  public let lanesPerRank: Int
  /// The rule of the first parameter group, and of all parameters where there is no other.
  public var rule: any UpdateRule { rules[0] }
  /// The rule of one parameter group, 0 ..< ``groupCount``, as it is after the last step.
  public func rule(ofGroup group: Int) -> any UpdateRule { rules[group] }
  /// How many parameter groups there are.
  public var groupCount: Int { update.groupCount }
  /// Steps finished since the start of the run: a restored optimizer counts on.
  public internal(set) var step = 0

  /// y: `layout.elementCount` floats, to compute gradients at. Shared by the ranks of a node where the exchange is
  /// shared: read only, but for initialisation by ``initializeParameters(_:)``.
  public var parameters: UnsafeMutablePointer<Float> { exchange.parameters }
  /// This rank's gradient arena: `layout.elementCount` floats, to be written in every step.
  public var gradients: UnsafeMutablePointer<Float> { exchange.gradients }

  /// Whether a thread of its own communicates while this one computes. What this one waits for is then messages of
  /// other nodes, late ones of slow ranks among them.
  public var hasCommunicationThread: Bool { twoLevel != nil }
  /// Is told what each step does.
  public let recorder: StepRecorder

  let communicator: Communicator
  let exchange: any Exchange
  /// The exchange, where it begins when backward has finished; nil where it is ``twoLevel``.
  let stepped: (any SteppedExchange)?
  /// The exchange, where a thread of its own drives it while this one computes.
  let twoLevel: TwoLevelExchange?
  /// The arithmetic of a step. The communication thread's while it is at work, see ``TwoLevelExchange``.
  let update: ShardUpdate
  var state: [AlignedBuffer] { update.state }
  var segments: SegmentTable { update.segments }
  var rules: UnsafeMutablePointer<any UpdateRule> { update.rules }
  var joinsAfter: UnsafeMutablePointer<Int> { update.joinsAfter }

  let clipNorm: Double?
  let globalSums: [GlobalSum]
  let sumCount: Int
  private let sumCapacity: Int
  private let usesLoss: Bool
  /// Whether steps with something that is not finite are skipped.
  let skips: Bool
  /// Whether losses are added up over the lanes before an update.
  let sumsLosses: Bool
  /// The last update of this rank left something that is not finite, which is still to be voted on.
  private var hasFoundNonFinite = false
  /// This rank's votes in the step at hand, and those of all ranks in the step that was given up last.
  private var votes = StepVotes()
  private var abandonedVotes = StepVotes()
  /// Whether something must be known of all gradients before an update begins.
  private let isDeferred: Bool
  /// Whether buckets are exchanged while backward goes on.
  private let overlaps: Bool
  /// This step's ``globalSums`` and behind them the loss, one row per lane and at last the total in the first: room
  /// for ``maximumSumCount`` numbers and a loss a lane, owned by this object.
  let totals: UnsafeMutablePointer<Double>
  /// Steps finished by this object: exchanges count from here, whatever step a resumed run is at.
  var exchangeStep = 0
  private var bucketsAnnounced = 0

  /// An optimizer with one rule for all parameters. Collective over `communicator`.
  ///
  /// - Parameters:
  ///   - communicator: the ranks that train together.
  ///   - layout: how the flat arena of parameters is cut.
  ///   - rule: the update rule, with its counters at the start.
  ///   - exchange: how gradients travel. The shared exchange gives way to the flat one where nodes hold unequal numbers
  ///     of ranks or shared memory cannot be had.
  ///   - between: how the shared exchange goes between nodes.
  ///   - clipNorm: the largest Euclidean norm of the whole gradient; longer ones are scaled down to it. Nil: no
  ///     clipping.
  ///   - nonFinite: what becomes of steps with something that is not finite.
  ///   - largestSum: how many numbers ``sumOverRanks(_:count:)`` is to take at a time.
  ///   - recorder: is told what each step does, for watchdogs, summaries and timelines.
  /// - Throws: `MPIError`, ``DataParallelError``.
  public convenience init(
    communicator: Communicator, layout: BucketLayout, rule: any UpdateRule, exchange: ExchangeKind = .shared,
    between options: InterNodeOptions = InterNodeOptions(), clipNorm: Double? = nil,
    nonFinite: NonFiniteSteps = .reported, largestSum: Int = 0, recorder: StepRecorder = StepRecorder()
  ) throws {
    try self.init(
      communicator: communicator, layout: layout,
      groups: [ParameterGroup(rule: rule, ranges: [0..<layout.elementCount])], exchange: exchange, between: options,
      clipNorm: clipNorm, nonFinite: nonFinite, largestSum: largestSum, recorder: recorder)
  }

  /// An optimizer with a rule for each of several groups of parameters. Collective over `communicator`.
  ///
  /// - Parameters:
  ///   - communicator: the ranks that train together.
  ///   - layout: how the flat arena of parameters is cut.
  ///   - groups: rules and the arena elements they are for, the same on every rank.
  ///   - exchange: how gradients travel, as above.
  ///   - between: how the shared exchange goes between nodes.
  ///   - clipNorm: the largest Euclidean norm of the gradient of all groups that have joined. Nil: no clipping. The
  ///     rules' global sums are of the gradient as it was before clipping: a step size that divides by its norm would
  ///     otherwise grow as much as the gradient was scaled down.
  ///   - nonFinite: what becomes of steps with something that is not finite.
  ///   - largestSum: how many numbers ``sumOverRanks(_:count:)`` is to take at a time.
  ///   - recorder: is told what each step does.
  /// - Throws: `MPIError`; ``DataParallelError``, where groups overlap, leave elements out or keep other state than
  ///   each other, or lanes cannot be divided over the ranks.
  public init(
    communicator: Communicator, layout: BucketLayout, groups: [ParameterGroup], exchange kind: ExchangeKind = .shared,
    between options: InterNodeOptions = InterNodeOptions(), clipNorm: Double? = nil,
    nonFinite: NonFiniteSteps = .reported, largestSum: Int = 0, recorder: StepRecorder = StepRecorder()
  ) throws {
    try groups.check(elementCount: layout.elementCount)
    let rule = groups[0].rule
    let lanesPerRank = try layout.lanesPerRank(of: communicator.size)
    // A rule's sums, and a loss that it may not ask for.
    let rowCapacity = maximumSumCount + 1
    let sumCapacity = max(lanesPerRank * rowCapacity, largestSum)
    let (exchange, note) = try ExchangeChoice.make(
      kind, between: options, communicator: communicator, layout: layout, sumCapacity: sumCapacity,
      recorder: recorder)
    globalSums = rule.globalSums
    sumCount = rule.globalSums.count
    usesLoss = rule.usesLoss
    let twoLevel = exchange as? TwoLevelExchange
    skips = nonFinite == .skipped
    sumsLosses = rule.usesLoss || skips
    let needsWholeGradient = clipNorm != nil || !rule.globalSums.isEmpty || skips
    isDeferred = needsWholeGradient || rule.usesLoss
    let arenaCount = (exchange.kind == .shared ? communicator.size : 1) + 1 + rule.stateSlots.count
    update = try ShardUpdate(
      layout: layout, shard: layout.shard(rank: communicator.rank, of: communicator.size), groups: groups,
      parameters: exchange.parameters,
      // What is to be sent to other nodes is read again at once.
      streamsY: twoLevel == nil
        && CachePolicy.streamsY(byteCount: arenaCount * layout.elementCount * MemoryLayout<Float>.stride),
      keepsGradient: needsWholeGradient || (twoLevel != nil && rule.usesLoss))
    self.recorder = recorder
    recorder.prepare(bucketCount: layout.buckets.count)
    self.communicator = communicator
    self.sumCapacity = sumCapacity
    self.lanesPerRank = lanesPerRank
    self.layout = layout
    self.clipNorm = clipNorm
    self.exchange = exchange
    self.twoLevel = twoLevel
    stepped = exchange as? any SteppedExchange
    overlaps = options.overlaps
    exchangeNote = note
    totals = .allocate(capacity: lanesPerRank * rowCapacity)
    totals.initialize(repeating: 0, count: lanesPerRank * rowCapacity)
    try twoLevel?.start(update, isDeferred: isDeferred)
  }

  deinit { totals.deallocate() }

  /// Gives the node's shared memory back, before the program ends; no pointer and no method may be used afterwards.
  /// Collective. Without this the memory stays until MPI is finalised, whether this object lives or not: freeing it
  /// takes all ranks.
  ///
  /// - Throws: `MPIError`.
  public func close() throws { try exchange.close() }

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
    guard overlaps || twoLevel == nil else { return }
    // Only a communication thread that has failed throws here, and throws again in `finishStep`.
    try? announce(from: offset)
  }

  private func announce(from offset: Int) throws {
    var announced = bucketsAnnounced
    while announced < layout.buckets.count, layout.buckets[announced].lowerBound >= offset { announced += 1 }
    guard announced > bucketsAnnounced else { return }
    if bucketsAnnounced == 0, let twoLevel {
      // From here to the step's end the rules are the communication thread's.
      try twoLevel.awaitQuiet()
      hasFoundNonFinite = update.takeNonFinite() || hasFoundNonFinite
      update.turn(toStepAfter: step)
      if !isDeferred { update.beginRules(StepTotals()) }
    }
    recorder.announce(buckets: bucketsAnnounced, announced)
    bucketsAnnounced = announced
    exchange.announce(step: exchangeStep, bucketCount: announced)
  }

  /// Returns when the parameters at offsets below `end` can be read, after a step that did not await them.
  ///
  /// - Throws: what the communication thread has met.
  public func awaitParameters(upTo end: Int) throws { try twoLevel?.awaitParameters(upTo: end) }

  /// Returns when all parameters can be read and gradients written, after a step that did not await its parameters.
  ///
  /// - Throws: what the communication thread has met.
  public func awaitExchange() throws { try twoLevel?.awaitQuiet() }

  /// Sums gradients over the ranks, updates this rank's shard, and returns when every rank's new y can be read.
  ///
  /// - Parameters:
  ///   - stopRequested: this rank wishes that training stops after this step.
  ///   - loss: this rank's part of the loss at y, for rules that use it; others do not look at it. Parts are
  ///     **summed** over the ranks, as gradients are: a caller whose loss is a mean over its own examples scales it by
  ///     one over the number of ranks. Every rank gives one, or none does. A rank of several lanes gives the loss of
  ///     each, with ``finishStep(stopRequested:laneLosses:awaitsParameters:)``.
  ///   - awaitsParameters: false where the caller asks for parameters as it comes to need them: with
  ///     ``awaitParameters(upTo:)`` before it reads any, and with ``awaitExchange()`` before it writes gradients. What
  ///     is on its way between nodes then goes on while the next forward pass computes. The other methods of this
  ///     object wait by themselves.
  /// - Returns: whether some rank asked to stop, and where time went.
  /// - Throws: `MPIError`; ``DataParallelError/lossMissing(rule:)`` before anything is exchanged;
  ///   ``DataParallelError/nonFiniteGradient(norm:step:)``, ``DataParallelError/nonFiniteTotal(name:value:step:)`` and
  ///   ``DataParallelError/nonFiniteLoss(value:step:)`` on every rank, if clipping or the rule meets such a norm, sum
  ///   or loss. The parameters and the state are then as they were, and another step may follow. With
  ///   ``NonFiniteSteps/skipped`` none of the three is thrown; they come as ``StepOutcome/skipped``.
  public func finishStep(
    stopRequested: Bool, loss: Double? = nil, awaitsParameters: Bool = true
  ) throws -> StepOutcome {
    guard let loss, lanesPerRank == 1 else {
      return try finishStep(stopRequested: stopRequested, laneLosses: nil, awaitsParameters: awaitsParameters)
    }
    return try withUnsafePointer(to: loss) {
      try finishStep(stopRequested: stopRequested, laneLosses: $0, awaitsParameters: awaitsParameters)
    }
  }

  /// As ``finishStep(stopRequested:loss:awaitsParameters:)``, with the loss of each of this rank's lanes.
  ///
  /// - Parameters:
  ///   - stopRequested: as above.
  ///   - laneLosses: ``lanesPerRank`` numbers, each the part of one lane, in lane order; nil for rules that do not use
  ///     the loss, and then nobody looks whether it is finite. They are added up over all lanes in lane order.
  ///   - awaitsParameters: as above.
  public func finishStep(
    stopRequested: Bool, laneLosses: UnsafePointer<Double>?, awaitsParameters: Bool = true
  ) throws -> StepOutcome {
    let start = monotonicSeconds()
    if usesLoss && laneLosses == nil { throw DataParallelError.lossMissing(rule: rule.name) }
    // What passes forward and backward waited for since the last step counts as this one's, and lies before `start`.
    let waitedBefore = twoLevel == nil ? 0 : exchange.waitSeconds
    if twoLevel == nil { exchange.waitSeconds = 0 }
    try announce(from: 0)
    votes = StepVotes(stop: stopRequested, nonFinite: hasFoundNonFinite)
    hasFoundNonFinite = false
    if let laneLosses {
      for lane in 0..<lanesPerRank where !laneLosses[lane].isFinite { votes.nonFinite = true }
    }
    if let stepped {
      update.turn(toStepAfter: step)
      recorder.main.enter(.waiting, bucket: layout.buckets.count - 1)
      try stepped.beginExchange(step: exchangeStep, votes: votes)
    } else {
      twoLevel?.vote(step: exchangeStep, votes)
    }
    var gradientNorm: Double?
    var scale: Float = 1
    if isDeferred {
      do {
        (gradientNorm, scale) = try takeSums(laneLosses)
      } catch let error as DataParallelError where skips && error.isNonFinite {
        var outcome = outcome(abandonedVotes, since: start, waitedBefore: waitedBefore, gradientNorm: nil)
        (outcome.isNonFinite, outcome.skipped) = (false, error)
        return outcome
      }
    }
    if stepped != nil || isDeferred {
      update.beginRules(
        StepTotals(loss: usesLoss ? totals[sumCount] : .nan, sums: sumCount > 0 ? UnsafePointer(totals) : nil))
    }
    try updateAll(scale: scale)
    step += 1
    if twoLevel == nil && update.takeNonFinite() {
      votes.nonFinite = true
      hasFoundNonFinite = true
    }
    let all = try endStep()
    // What could not be agreed on any more in this step is in the next.
    if all.nonFinite { hasFoundNonFinite = false }
    if awaitsParameters || !overlaps { try awaitExchange() }
    return outcome(all, since: start, waitedBefore: waitedBefore, gradientNorm: gradientNorm)
  }

  private func outcome(
    _ votes: StepVotes, since start: Double, waitedBefore: Double, gradientNorm: Double?
  ) -> StepOutcome {
    let wait = exchange.waitSeconds
    exchange.waitSeconds = 0
    return StepOutcome(
      stop: votes.stop, waitSeconds: wait, exchangeSeconds: monotonicSeconds() - start - (wait - waitedBefore),
      gradientNorm: gradientNorm, isNonFinite: votes.nonFinite)
  }

  /// Afterwards the next step may begin.
  ///
  /// - Returns: the votes of all ranks.
  private func endStep() throws -> StepVotes {
    recorder.main.enter(.finishing)
    let all =
      try twoLevel?.awaitVerdict(step: exchangeStep) ?? stepped?.finish(step: exchangeStep, votes: votes) ?? votes
    recorder.main.enter(.reporting)
    exchangeStep += 1
    bucketsAnnounced = 0
    return all
  }

  /// Ends a step in which nothing is updated.
  func abandonStep() throws {
    twoLevel?.abandon(step: exchangeStep)
    abandonedVotes = try endStep()
  }

  /// The pieces of a bucket, once they are there. In shared memory there is nothing to wait for but other ranks.
  func pieces(ofBucket bucket: Int, _ stepped: any SteppedExchange) throws -> GradientPieces {
    recorder.main.enter(exchange.kind == .shared ? .waiting : .exchanging, bucket: bucket)
    let pieces = try stepped.pieces(step: exchangeStep, bucket: bucket)
    recorder.main.enter(.updating, bucket: bucket)
    return pieces
  }

  /// Updates this rank's slices, or lets the communication thread begin to; where nothing had to be known before,
  /// gradients are summed in the same pass.
  private func updateAll(scale: Float) throws {
    if let twoLevel {
      if isDeferred { twoLevel.proceed(step: exchangeStep, scale: scale) }
      return
    }
    guard let stepped else { return }
    for bucket in layout.buckets.indices {
      if update.reducedGradient != nil {
        recorder.main.enter(.updating, bucket: bucket)
        update.updateFromReduced(bucket: bucket, scale: scale)
      } else {
        update.update(bucket: bucket, try pieces(ofBucket: bucket, stepped), scale: scale)
      }
      if exchange.kind != .shared { recorder.main.enter(.publishing, bucket: bucket) }
      try stepped.publish(step: exchangeStep, bucket: bucket)
    }
  }
}

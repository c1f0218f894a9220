import CKernels
import ScheduleFree

/// The arithmetic of a step on the elements that one rank owns: the sums of gradients, and the rules' passes over the
/// state and y. It knows of no ranks and no messages.
///
/// Not thread-safe: one thread at a time. The exchange between nodes runs it on its communication thread, to which the
/// thread of the rank hands it, and from which it takes it back, with the atomics of ``TwoLevelExchange``.
final class ShardUpdate {
  let layout: BucketLayout
  /// What this rank owns.
  let shard: Shard
  /// The shard of each state array, one per slot of the rules.
  let state: [AlignedBuffer]
  let segments: SegmentTable
  /// One rule per parameter group; ``groupCount`` of them, owned by this object. Not an array, whose elements are
  /// copied to be read, which allocates in debug builds and makes the next change of a rule allocate in all.
  let rules: UnsafeMutablePointer<any UpdateRule>
  let groupCount: Int
  let joinsAfter: UnsafeMutablePointer<Int>
  /// The summed gradient of the shard, where something must be known of all of it before the update.
  let reducedGradient: AlignedBuffer?
  /// Becomes true where an update leaves a number in y that is not finite; one, owned by this object.
  private let foundNonFinite: UnsafeMutablePointer<Bool>
  /// The arena of y, which is the exchange's.
  private let parameters: UnsafeMutablePointer<Float>
  private let streamsY: Bool
  /// Steps finished before the step at hand.
  private(set) var stepAtHand = 0

  /// - Parameters:
  ///   - groups: checked to tile the arena.
  ///   - parameters: the arena of y, which outlives this object's last pass.
  ///   - streamsY: whether y is stored past the caches.
  ///   - keepsGradient: whether the sum of the gradients is kept until it is used.
  /// - Throws: ``DataParallelError/outOfMemory(byteCount:what:)``.
  init(
    layout: BucketLayout, shard: Shard, groups: [ParameterGroup], parameters: UnsafeMutablePointer<Float>,
    streamsY: Bool, keepsGradient: Bool
  ) throws {
    let state = try groups[0].rule.stateSlots.map {
      try AlignedBuffer(count: shard.count, for: "the shard of \($0.name)")
    }
    reducedGradient = try keepsGradient ? AlignedBuffer(count: shard.count, for: "the summed gradient") : nil
    self.layout = layout
    self.shard = shard
    self.state = state
    self.parameters = parameters
    self.streamsY = streamsY
    foundNonFinite = .allocate(capacity: 1)
    foundNonFinite.initialize(to: false)
    segments = SegmentTable(groups: groups, shard: shard, state: state)
    groupCount = groups.count
    rules = .allocate(capacity: groups.count)
    joinsAfter = .allocate(capacity: groups.count)
    for (index, group) in groups.enumerated() {
      (rules + index).initialize(to: group.rule)
      (joinsAfter + index).initialize(to: group.joinsAfter)
    }
  }

  deinit {
    rules.deinitialize(count: groupCount)
    rules.deallocate()
    joinsAfter.deallocate()
    foundNonFinite.deallocate()
  }

  /// Whether a group takes part in the step at hand.
  @inline(__always)
  func hasJoined(_ group: Int) -> Bool { stepAtHand >= joinsAfter[group] }

  /// Turns to the next step.
  ///
  /// - Parameter stepsBefore: steps finished since the start of the run.
  func turn(toStepAfter stepsBefore: Int) { stepAtHand = stepsBefore }

  /// Whether an update since this was last called has left something in y that is not a finite number.
  func takeNonFinite() -> Bool {
    defer { foundNonFinite.pointee = false }
    return foundNonFinite.pointee
  }

  /// Begins the step at hand in all rules that take part in it.
  func beginRules(_ totals: StepTotals) {
    for group in 0..<groupCount where hasJoined(group) { rules[group].beginStep(totals) }
  }

  /// Sums the pieces of this rank's slice of a bucket into ``reducedGradient``.
  func reduce(bucket: Int, _ pieces: GradientPieces) {
    guard let reducedGradient else { return }
    fw_sum_tree(
      reducedGradient.pointer + shard.offsets[bucket], pieces.pointers, pieces.count, shard.slices[bucket].count)
  }

  /// Adds the squares of ``reducedGradient``, in double precision, to one sum per lane of this rank: within a segment
  /// in an order fixed by its length, over the segments of a lane's portions in their order.
  func addSquares(to sums: UnsafeMutablePointer<Double>) {
    guard let reducedGradient else { return }
    for index in segments.indices where hasJoined(segments[index].group) {
      let segment = segments[index]
      sums[segment.lane] += fw_sum_squares(reducedGradient.pointer + segment.shardOffset, segment.count)
    }
  }

  /// Adds this shard's parts of the rules' global sums to `totals`, which has a row of `rowCount` numbers for each lane
  /// of this rank. The gradient counts as it is before clipping.
  func addSums(to totals: UnsafeMutablePointer<Double>, rowCount: Int) {
    guard let reducedGradient else { return }
    for index in segments.indices where hasJoined(segments[index].group) {
      let segment = segments[index]
      withUnsafePointer(to: UnsafePointer(reducedGradient.pointer + segment.shardOffset)) {
        rules[segment.group].addSums(
          over: range(of: segment, gradients: $0, gradientCount: 1, gradientOffset: 0, scale: 1),
          to: totals + segment.lane * rowCount)
      }
    }
  }

  /// Updates this rank's slice of a bucket from pieces that are summed in the same pass.
  func update(bucket: Int, _ pieces: GradientPieces, scale: Float) {
    update(bucket: bucket, gradients: pieces.pointers, gradientCount: pieces.count, scale: scale)
  }

  /// Updates this rank's slice of a bucket from ``reducedGradient``.
  func updateFromReduced(bucket: Int, scale: Float) {
    guard let reducedGradient else { return }
    withUnsafePointer(to: UnsafePointer(reducedGradient.pointer + shard.offsets[bucket])) {
      update(bucket: bucket, gradients: $0, gradientCount: 1, scale: scale)
    }
  }

  /// Writes y, computed from the state, into this rank's slices.
  func writeGradientPoint() {
    for index in segments.indices {
      let segment = segments[index]
      rules[segment.group].writeGradientPoint(
        state: segment.state, y: parameters + segment.start, count: segment.count)
    }
  }

  /// One pass per segment: update the state, write y.
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
      y: parameters + segment.start, state: segment.state, count: segment.count)
    range.streamsY = streamsY
    range.foundNonFinite = foundNonFinite
    return range
  }
}

/// A run of consecutive elements of one bucket's slice that belong to one parameter group and to one lane's portion:
/// what one call of its rule works on.
struct Segment {
  /// Index of the group.
  var group: Int
  /// Which of the rank's lanes the portion belongs to, counted from 0: sums are taken lane by lane.
  var lane: Int
  /// The first element, counted in the arena.
  var start: Int
  /// The first element, counted from the start of this rank's slice of the bucket.
  var sliceOffset: Int
  /// The first element, counted in this rank's shard.
  var shardOffset: Int
  /// Elements, at least 1.
  var count: Int
  /// One pointer per state slot, to the segment's first element.
  var state: UnsafePointer<UnsafeMutablePointer<Float>>
}

/// All segments of a rank, by bucket and then by rising offset, made once: the training step only walks them.
///
/// Owns the table and the pointers in it; the arrays of state that they lead into are the caller's, who keeps them at
/// least as long. Plain memory and not arrays, because iterating over an array allocates in debug builds.
final class SegmentTable {
  private let count: Int
  private let segments: UnsafeMutablePointer<Segment>
  /// For each bucket the index of its first segment, and behind the last bucket the number of all.
  private let firsts: UnsafeMutablePointer<Int>
  private let statePointers: UnsafeMutablePointer<UnsafeMutablePointer<Float>>

  /// Cuts `shard` into segments.
  ///
  /// - Parameters:
  ///   - groups: checked to tile the arena.
  ///   - shard: what the rank owns.
  ///   - state: the shard of each state array.
  init(groups: [ParameterGroup], shard: Shard, state: [AlignedBuffer]) {
    var ranges: [(range: Range<Int>, group: Int)] = []
    for entry in groups.sortedRanges() {
      if let last = ranges.last, last.group == entry.group {
        ranges[ranges.count - 1].range = last.range.lowerBound..<entry.range.upperBound
      } else {
        ranges.append(entry)
      }
    }
    let pieces = shard.portions.map { portions in
      portions.enumerated().flatMap { lane, portion in
        ranges.map { (range: $0.range.clamped(to: portion), group: $0.group, lane: lane) }
      }.filter { !$0.range.isEmpty }
    }
    let count = pieces.reduce(0) { $0 + $1.count }
    self.count = count
    segments = .allocate(capacity: max(count, 1))
    firsts = .allocate(capacity: pieces.count + 1)
    statePointers = .allocate(capacity: max(count * state.count, 1))
    var index = 0
    for (bucket, pieces) in pieces.enumerated() {
      (firsts + bucket).initialize(to: index)
      for piece in pieces {
        let sliceOffset = piece.range.lowerBound - shard.slices[bucket].lowerBound
        let shardOffset = shard.offsets[bucket] + sliceOffset
        let pointers = statePointers + index * state.count
        for (slot, array) in state.enumerated() { (pointers + slot).initialize(to: array.pointer + shardOffset) }
        (segments + index).initialize(
          to: Segment(
            group: piece.group, lane: piece.lane, start: piece.range.lowerBound, sliceOffset: sliceOffset,
            shardOffset: shardOffset,
            count: piece.range.count, state: UnsafePointer(pointers)))
        index += 1
      }
    }
    (firsts + pieces.count).initialize(to: count)
  }

  deinit {
    segments.deallocate()
    firsts.deallocate()
    statePointers.deallocate()
  }

  /// The indices of all segments.
  var indices: Range<Int> { 0..<count }

  /// The indices of the segments of one bucket.
  func indices(ofBucket bucket: Int) -> Range<Int> { firsts[bucket]..<firsts[bucket + 1] }

  /// One segment.
  subscript(index: Int) -> Segment { segments[index] }
}

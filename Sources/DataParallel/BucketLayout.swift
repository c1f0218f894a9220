/// How a flat parameter arena is cut into buckets, and each bucket into one slice per rank.
///
/// Backward finishes the last parameters first, so buckets are numbered from the end of the arena: bucket 0 holds the
/// highest offsets. A bucket ends where a tensor begins, or, in a tensor that is large, within it: what is exchanged
/// piece by piece can be updated while the rest is on its way, and lets others pass that are more urgent. Each bucket is
/// cut into one slice per rank; **a rank's shard is its slice of every bucket**. Slices begin on multiples of
/// ``BucketLayout/sliceAlignment`` elements, so that two ranks never write to one cache line of a shared arena; a slice
/// at the end of a bucket may be shorter than the others, or empty.
///
/// With several lanes a rank, each bucket is cut into one slice per lane, as for so many ranks, and a rank's slice is
/// that of its lanes, which lie one behind the other. What is added up slice by slice is then added up in the same
/// portions on any number of ranks that the lanes divide over.
public struct BucketLayout: Sendable, Equatable {
  /// Slices begin at multiples of this many elements from the start of their bucket: 16 floats, one cache line of 64
  /// bytes.
  public static let sliceAlignment = 16

  /// No bucket is cut into pieces smaller than about this many elements: 4 KiB of float32.
  private static let smallestPiece = 1 << 10

  /// The default size that a bucket grows to before it is closed: 1 MiB of float32.
  public static let defaultTargetCount = 1 << 18

  /// The number of elements in the arena.
  public let elementCount: Int

  /// The element ranges of the buckets, in the order in which backward finishes them: descending and without gaps.
  public let buckets: [Range<Int>]

  /// Lanes that buckets are cut for; nil: one a rank.
  public let laneCount: Int?

  /// Cuts an arena into buckets.
  ///
  /// - Parameters:
  ///   - elementCount: elements in the arena; 0 gives no buckets.
  ///   - tensorOffsets: where each tensor begins, ascending, the first at 0.
  ///   - targetCount: a bucket is closed once it holds at least this many elements, at the beginning of a tensor; if it
  ///     then holds twice as many or more it is cut into buckets of about so many, up to twice as many.
  ///   - laneCount: lanes that buckets are cut for: ranks times a power of two, see ``lanesPerRank(of:)``; nil: one a
  ///     rank.
  /// - Throws: ``DataParallelError/invalidLayout(_:)`` if the offsets are not ascending from 0 inside the arena.
  public init(
    elementCount: Int, tensorOffsets: [Int], targetCount: Int = BucketLayout.defaultTargetCount, laneCount: Int? = nil
  ) throws {
    guard elementCount >= 0 else {
      throw DataParallelError.invalidLayout("the arena has \(elementCount) elements; expected 0 or more")
    }
    guard targetCount > 0 else {
      throw DataParallelError.invalidLayout("the bucket size is \(targetCount) elements; expected 1 or more")
    }
    if let laneCount, laneCount < 1 {
      throw DataParallelError.invalidLayout("\(laneCount) lanes; expected 1 or more")
    }
    if elementCount > 0 {
      guard tensorOffsets.first == 0 else {
        throw DataParallelError.invalidLayout("the first tensor begins at \(tensorOffsets.first ?? -1); expected 0")
      }
      for (previous, next) in zip(tensorOffsets, tensorOffsets.dropFirst()) where next < previous {
        throw DataParallelError.invalidLayout("a tensor begins at \(next), before its predecessor at \(previous)")
      }
      if let last = tensorOffsets.last, last > elementCount {
        throw DataParallelError.invalidLayout(
          "the last tensor begins at \(last), behind the end of the arena at \(elementCount)")
      }
    }
    var buckets: [Range<Int>] = []
    var end = elementCount
    for offset in tensorOffsets.reversed() where end - offset >= targetCount || (offset == 0 && end > 0) {
      buckets += Self.cut(offset..<end, into: (end - offset) / max(targetCount, Self.smallestPiece))
      end = offset
    }
    self.elementCount = elementCount
    self.buckets = buckets
    self.laneCount = laneCount
  }

  /// Cuts a range into pieces of equal length but for one, in descending order. All begin on multiples of
  /// ``sliceAlignment`` from its start.
  private static func cut(_ range: Range<Int>, into pieces: Int) -> [Range<Int>] {
    guard pieces > 1 else { return [range] }
    let even = (range.count + pieces - 1) / pieces
    let length = (even + sliceAlignment - 1) / sliceAlignment * sliceAlignment
    return stride(from: range.lowerBound, to: range.upperBound, by: length)
      .map { $0..<min($0 + length, range.upperBound) }.reversed()
  }

  /// The lanes of each of `rankCount` ranks: rank r computes lanes r·k ..< (r+1)·k, with k what is returned.
  ///
  /// - Throws: ``DataParallelError/unevenLanes(lanes:ranks:)`` unless k is a power of two: only then are the lanes of a
  ///   rank one subtree of the fixed tree that gradients are summed in, see `treeSplit`.
  public func lanesPerRank(of rankCount: Int) throws -> Int {
    guard let laneCount else { return 1 }
    guard let lanes = Self.lanesPerRank(laneCount, over: rankCount) else {
      throw DataParallelError.unevenLanes(lanes: laneCount, ranks: rankCount)
    }
    return lanes
  }

  /// The lanes of a rank, a power of two; nil where lanes cannot be divided so.
  static func lanesPerRank(_ lanes: Int, over ranks: Int) -> Int? {
    guard ranks > 0, lanes > 0, lanes % ranks == 0, (lanes / ranks).nonzeroBitCount == 1 else { return nil }
    return lanes / ranks
  }

  /// The slice of bucket `bucket` that `rank` of `rankCount` ranks owns, as a range of arena elements; it may be empty.
  /// Lanes that cannot be divided over so many ranks are left out of account.
  public func slice(bucket: Int, rank: Int, of rankCount: Int) -> Range<Int> {
    let lanes = laneCount.flatMap { Self.lanesPerRank($0, over: rankCount) } ?? 1
    let first = portion(bucket: bucket, index: rank * lanes, of: rankCount * lanes)
    let last = portion(bucket: bucket, index: rank * lanes + lanes - 1, of: rankCount * lanes)
    return first.lowerBound..<last.upperBound
  }

  /// One of `count` portions of a bucket, of equal length but for the last.
  func portion(bucket: Int, index: Int, of count: Int) -> Range<Int> {
    let range = buckets[bucket]
    let even = (range.count + count - 1) / count
    let length = (even + Self.sliceAlignment - 1) / Self.sliceAlignment * Self.sliceAlignment
    let lower = min(range.lowerBound + index * length, range.upperBound)
    return lower..<min(lower + length, range.upperBound)
  }

  /// The shard of one rank: its slice of every bucket, in bucket order.
  public func shard(rank: Int, of rankCount: Int) -> Shard {
    let lanes = laneCount.flatMap { Self.lanesPerRank($0, over: rankCount) } ?? 1
    return Shard(
      portions: buckets.indices.map { bucket in
        (0..<lanes).map { portion(bucket: bucket, index: rank * lanes + $0, of: rankCount * lanes) }
      })
  }
}

/// The elements that one rank owns: one slice of every bucket, held one behind the other in the rank's state arrays.
public struct Shard: Sendable, Equatable {
  /// The arena elements owned, one range per bucket, in bucket order; ranges may be empty.
  public let slices: [Range<Int>]

  /// For each bucket the portions that its slice is made of, one behind the other: one per lane of the rank.
  public let portions: [[Range<Int>]]

  /// Where each slice begins in the rank's state arrays.
  public let offsets: [Int]

  /// The number of elements owned.
  public let count: Int

  /// - Parameter portions: for each bucket one range or more, without gaps between them.
  init(portions: [[Range<Int>]]) {
    var slices: [Range<Int>] = []
    var offsets: [Int] = []
    var count = 0
    for pieces in portions {
      let slice = (pieces.first?.lowerBound ?? 0)..<(pieces.last?.upperBound ?? 0)
      slices.append(slice)
      offsets.append(count)
      count += slice.count
    }
    self.slices = slices
    self.portions = portions
    self.offsets = offsets
    self.count = count
  }
}

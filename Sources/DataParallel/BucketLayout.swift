/// How a flat parameter arena is cut into buckets, and each bucket into one slice per rank.
///
/// Backward finishes the last parameters first, so buckets are numbered from the end of the arena: bucket 0 holds the
/// highest offsets. A bucket ends only where a tensor begins. Each bucket is cut into one slice per rank; **a rank's
/// shard is its slice of every bucket**. Slices begin on multiples of ``BucketLayout/sliceAlignment`` elements, so
/// that two ranks never write to one cache line of a shared arena; a slice at the end of a bucket may be shorter than
/// the others, or empty.
public struct BucketLayout: Sendable, Equatable {
  /// Slices begin at multiples of this many elements from the start of their bucket: 16 floats, one cache line of 64
  /// bytes.
  public static let sliceAlignment = 16

  /// The default size that a bucket grows to before it is closed: 1 MiB of float32.
  public static let defaultTargetCount = 1 << 18

  /// The number of elements in the arena.
  public let elementCount: Int

  /// The element ranges of the buckets, in the order in which backward finishes them: descending and without gaps.
  public let buckets: [Range<Int>]

  /// Cuts an arena into buckets.
  ///
  /// - Parameters:
  ///   - elementCount: elements in the arena; 0 gives no buckets.
  ///   - tensorOffsets: where each tensor begins, ascending, the first at 0. Only here may a bucket begin.
  ///   - targetCount: a bucket is closed once it holds at least this many elements.
  /// - Throws: ``DataParallelError/invalidLayout(_:)`` if the offsets are not ascending from 0 inside the arena.
  public init(elementCount: Int, tensorOffsets: [Int], targetCount: Int = BucketLayout.defaultTargetCount) throws {
    guard elementCount >= 0 else {
      throw DataParallelError.invalidLayout("the arena has \(elementCount) elements; expected 0 or more")
    }
    guard targetCount > 0 else {
      throw DataParallelError.invalidLayout("the bucket size is \(targetCount) elements; expected 1 or more")
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
      buckets.append(offset..<end)
      end = offset
    }
    self.elementCount = elementCount
    self.buckets = buckets
  }

  /// The slice of bucket `bucket` that `rank` of `rankCount` ranks owns, as a range of arena elements; it may be empty.
  public func slice(bucket: Int, rank: Int, of rankCount: Int) -> Range<Int> {
    let range = buckets[bucket]
    let even = (range.count + rankCount - 1) / rankCount
    let length = (even + Self.sliceAlignment - 1) / Self.sliceAlignment * Self.sliceAlignment
    let lower = min(range.lowerBound + rank * length, range.upperBound)
    return lower..<min(lower + length, range.upperBound)
  }

  /// The shard of one rank: its slice of every bucket, in bucket order.
  public func shard(rank: Int, of rankCount: Int) -> Shard {
    Shard(slices: buckets.indices.map { slice(bucket: $0, rank: rank, of: rankCount) })
  }
}

/// The elements that one rank owns: one slice of every bucket, held one behind the other in the rank's state arrays.
public struct Shard: Sendable, Equatable {
  /// The arena elements owned, one range per bucket, in bucket order; ranges may be empty.
  public let slices: [Range<Int>]

  /// Where each slice begins in the rank's state arrays.
  public let offsets: [Int]

  /// The number of elements owned.
  public let count: Int

  init(slices: [Range<Int>]) {
    var offsets: [Int] = []
    var count = 0
    for slice in slices {
      offsets.append(count)
      count += slice.count
    }
    self.slices = slices
    self.offsets = offsets
    self.count = count
  }
}

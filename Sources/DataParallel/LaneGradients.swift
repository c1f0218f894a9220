import CKernels
import ScheduleFree

/// Adds up the gradients of the batches that one rank computes one after the other in a step: those of its lanes, and
/// within a lane those that are accumulated.
///
/// The batches of a lane are added in their order, and lanes in the fixed binary tree (`treeSplit`). A rank's lanes are
/// a power of two of neighbours, so its sum is one subtree of the tree over all lanes, and the exchange's tree over the
/// ranks completes it: the bits are those of one rank per lane.
///
/// Of the tree no more is kept than a counter of lanes has binary digits set. With k lanes done, each digit of k stands
/// for the sum of a whole subtree, and the next lane is written behind them; when it is complete, it is added to its
/// neighbour as often as k ends in ones. So k lanes take 1 + log₂ k arenas, the first being the one that is exchanged,
/// and one more where batches are accumulated. Each sum is taken range by range in the backward pass that completes it,
/// so that the last pass of a step announces buckets as early as a rank with one lane does.
///
/// ```swift
/// for lane in 0..<lanes.laneCount {
///   for batch in 0..<batches {
///     try plan.bind(gradients: lanes.destination(lane: lane, batch: batch))
///     // …forward…
///     try plan.backward { offset in
///       if lanes.add(lane: lane, batch: batch, from: offset) { optimizer.announce(finishedFrom: offset) }
///     }
///   }
/// }
/// ```
///
/// Nothing is allocated but in the initialiser. Not thread-safe.
public final class LaneGradients {
  /// Lanes of this rank, a power of two.
  public let laneCount: Int
  /// Batches of a lane in a step.
  public let batchCount: Int
  /// Whether every batch is written where it is exchanged: one lane of one batch.
  public var isDirect: Bool { laneCount == 1 && batchCount == 1 }

  private let elementCount: Int
  private let gradients: UnsafeMutablePointer<Float>
  /// Sums of subtrees behind the first, and at last the batch that is to be accumulated. Owned by this object.
  private let arenas: [AlignedBuffer]
  /// The arenas' addresses: reading an array of objects counts references, which costs more than the rest.
  private let addresses: UnsafeMutablePointer<UnsafeMutablePointer<Float>>
  private let treeDepth: Int
  /// Everything from here on has been added up in the backward pass at hand.
  private var done: Int

  /// Makes the arenas.
  ///
  /// - Parameters:
  ///   - optimizer: whose gradient arena receives the sum, and whose layout says how many lanes there are. It must live
  ///     as long as this object.
  ///   - batchCount: batches of a lane in a step, at least 1.
  /// - Throws: ``DataParallelError/outOfMemory(byteCount:what:)``.
  public init(for optimizer: ShardedOptimizer, batchCount: Int) throws {
    laneCount = optimizer.lanesPerRank
    self.batchCount = batchCount
    elementCount = optimizer.layout.elementCount
    gradients = optimizer.gradients
    treeDepth = laneCount.trailingZeroBitCount
    done = elementCount
    let count = treeDepth + (batchCount > 1 ? 1 : 0)
    let elementCount = elementCount
    arenas = try (0..<count).map { _ in try AlignedBuffer(count: elementCount, for: "the gradients of lanes") }
    addresses = .allocate(capacity: count + 1)
    addresses.initialize(to: gradients)
    for (index, arena) in arenas.enumerated() { (addresses + index + 1).initialize(to: arena.pointer) }
  }

  deinit { addresses.deallocate() }

  /// Where the gradient of a batch is to be written: `layout.elementCount` floats. Batches come in order, lane by lane.
  public func destination(lane: Int, batch: Int) -> UnsafeMutablePointer<Float> {
    done = elementCount
    return batch == 0 ? addresses[lane.nonzeroBitCount] : addresses[treeDepth + 1]
  }

  /// Takes note that a batch's gradients at all offsets of at least `offset` are final, and adds them up as far as they
  /// complete a sum.
  ///
  /// - Returns: whether the step's sums of all lanes are complete from `offset` on, to be announced.
  public func add(lane: Int, batch: Int, from offset: Int) -> Bool {
    let isLaneComplete = batch == batchCount - 1
    let range = offset..<done
    done = offset
    let depth = lane.nonzeroBitCount
    if batch > 0 { add(addresses[treeDepth + 1], to: addresses[depth], range) }
    guard isLaneComplete else { return false }
    for level in 0..<(~lane).trailingZeroBitCount {
      add(addresses[depth - level], to: addresses[depth - level - 1], range)
    }
    return lane == laneCount - 1
  }

  private func add(
    _ source: UnsafeMutablePointer<Float>, to destination: UnsafeMutablePointer<Float>, _ range: Range<Int>
  ) {
    guard !range.isEmpty else { return }
    fw_add(destination + range.lowerBound, source + range.lowerBound, range.count)
  }
}

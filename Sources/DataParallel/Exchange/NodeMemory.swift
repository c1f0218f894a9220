import Atomics
import Glibc
import MPI

/// What the ranks of one node share in the exchange between nodes: every rank's gradient arena, one arena of y, and
/// the counters by which their threads tell each other how far they are. ``TwoLevelExchange`` says who may touch what.
final class NodeMemory {
  /// The gradient arena of each rank of the node. Owned by this object; the arenas are the window's.
  let gradients: UnsafeMutablePointer<UnsafeMutablePointer<Float>>
  /// The arena of y.
  let parameters: UnsafeMutablePointer<Float>
  /// One per rank. Owned by this object; what they lead to is the window's.
  let controls: UnsafeMutablePointer<NodeControl>
  /// The number of ranks.
  let rankCount: Int
  /// Owns the shared memory.
  private let window: SharedWindow

  /// Collective over `node`.
  ///
  /// - Throws: `SharedWindowError` on all ranks if the window cannot be had; ``DataParallelError`` on all if a segment
  ///   is smaller than was asked for; `MPIError`.
  init(node: Communicator, elementCount: Int, bucketCount: Int) throws {
    let controlByteCount = NodeControl.byteCount(bucketCount: bucketCount)
    let arenaByteCount = (elementCount * MemoryLayout<Float>.stride + 127) / 128 * 128
    func byteCount(ofRank rank: Int) -> Int { controlByteCount + arenaByteCount * (rank == 0 ? 2 : 1) }
    let window = try SharedWindow(node: node, byteCount: byteCount(ofRank: node.rank))
    func base(ofRank rank: Int) throws -> UnsafeMutableRawPointer {
      let segment = window.segment(of: rank)
      guard let base = segment.baseAddress, segment.count >= byteCount(ofRank: rank) else {
        throw DataParallelError.wrongElementCount(
          what: "the shared segment of rank \(rank)", expected: byteCount(ofRank: rank), found: segment.count)
      }
      return base
    }
    func arena(_ base: UnsafeMutableRawPointer, _ index: Int) -> UnsafeMutablePointer<Float> {
      (base + controlByteCount + index * arenaByteCount).bindMemory(to: Float.self, capacity: max(elementCount, 1))
    }
    // One rank alone must not leave: the others would wait for it in the barrier below.
    let bases = try node.agree(on: "the shared memory") { try (0..<node.size).map { try base(ofRank: $0) } }
    gradients = .allocate(capacity: node.size)
    controls = .allocate(capacity: node.size)
    for (rank, base) in bases.enumerated() {
      (gradients + rank).initialize(to: arena(base, 0))
      (controls + rank).initialize(to: NodeControl(base, bucketCount: bucketCount))
    }
    // Shared between processes, and gone with the window: nothing else belongs to it on the systems there are.
    let news = controls[node.rank].news
    try node.agree(on: "the communication thread's semaphore") {
      guard sem_init(news, 1, 0) == 0 else {
        throw DataParallelError.noThread(reason: "sem_init: " + String(cString: strerror(errno)))
      }
    }
    parameters = arena(bases[0], 1)
    rankCount = node.size
    self.window = window
    try node.barrier()
  }

  deinit {
    gradients.deallocate()
    controls.deallocate()
  }

  /// Gives the memory back. Collective over the node.
  func free() throws { try window.free() }
}

/// How far one rank is: counters in shared memory, which only grow, so that a rank that has gone on to the next step
/// cannot be mistaken for one that has not arrived. Each lies on cache lines of its own (adjacent lines are fetched in
/// pairs). Steps are counted from 0.
struct NodeControl {
  private static let headerByteCount = 768

  /// Bytes of the counters of one rank.
  static func byteCount(bucketCount: Int) -> Int {
    (headerByteCount + bucketCount * MemoryLayout<Int>.stride + 127) / 128 * 128
  }

  /// step · buckets + the number of buckets whose gradients the rank has announced. Stored by its own thread.
  let announced: UnsafeAtomic<Int>
  /// step + 1 once the rank has voted. Stored by its own thread, after `ballots`.
  let voted: UnsafeAtomic<Int>
  /// The rank's votes in the last even step, and in the last odd one.
  private let ballots: (even: UnsafeAtomic<Int>, odd: UnsafeAtomic<Int>)
  /// The votes of all ranks of the job. Of the node's first rank; stored by its communication thread.
  let verdict: UnsafeAtomic<Int>
  /// step + 1 once the rank's communication thread has done everything that there was to do in the step: nothing it
  /// sends, and no gradients, are read any more.
  let completed: UnsafeAtomic<Int>
  /// Posted where there is news for the rank's communication thread, which may sleep: by threads of all ranks of the
  /// node. Made by ``NodeMemory``.
  let news: UnsafeMutablePointer<sem_t>
  /// The first of as many counters as there are buckets: step + 1 once the rank's region of the bucket holds the new y
  /// of all nodes. Stored by its communication thread.
  private let publications: UnsafeMutablePointer<UnsafeAtomic<Int>.Storage>

  /// Views `memory`, the zero-filled start of a rank's segment. Sound because zero is a valid initial value of each
  /// atomic's storage, and because the window outlives the views.
  init(_ memory: UnsafeMutableRawPointer, bucketCount: Int) {
    func counter(at offset: Int) -> UnsafeAtomic<Int> {
      UnsafeAtomic(at: (memory + offset).bindMemory(to: UnsafeAtomic<Int>.Storage.self, capacity: 1))
    }
    announced = counter(at: 0)
    voted = counter(at: 128)
    ballots = (counter(at: 256), counter(at: 264))
    verdict = counter(at: 384)
    completed = counter(at: 512)
    news = (memory + 640).bindMemory(to: sem_t.self, capacity: 1)
    publications = (memory + Self.headerByteCount).bindMemory(
      to: UnsafeAtomic<Int>.Storage.self, capacity: max(bucketCount, 1))
  }

  @inline(__always)
  func published(bucket: Int) -> UnsafeAtomic<Int> { UnsafeAtomic(at: publications + bucket) }

  /// Two, because a fast rank may vote again in the next step before this step's votes have been read.
  func ballot(in step: Int) -> UnsafeAtomic<Int> { step.isMultiple(of: 2) ? ballots.even : ballots.odd }
}

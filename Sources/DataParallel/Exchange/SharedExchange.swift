import Atomics
import CKernels
import Glibc
import MPI

/// Exchange inside one node: every rank's gradients and the one arena of y lie in a shared window, so nothing is
/// copied.
///
/// **Who may touch what, and when.** The segment of rank r holds r's control block and gradient arena; the segment of
/// rank 0 holds the arena of y as well. Within step s:
/// 1. r writes its gradient arena in backward, then stores `announced` with release ordering.
/// 2. The owner of a slice loads every rank's `announced` with acquire ordering before it reads their gradients, and
///    before it writes its slice of y: whoever announced a bucket has read its parameters for the last time in this
///    step.
/// 3. Having written all its slices, a rank stores `updated` with release ordering, and loads everyone's with acquire
///    ordering before it goes on: only then does it read y again or overwrite its own gradients.
///
/// Global sums have a counter of their own. For its n-th sum, counted from 0, a rank writes its partials into the
/// (n mod 2)-th of two places, stores `partialsReady` = n + 1 with release ordering, and loads everyone's with acquire
/// ordering before it adds them up. Two places suffice: whoever writes those of sum n + 2 has seen every rank's n + 2,
/// which a rank stores only after it has read the partials of sum n.
///
/// The counters only grow, so a rank that has gone on to the next step cannot be mistaken for one that has not arrived.
final class SharedExchange: SteppedExchange {
  let kind = ExchangeKind.shared
  var label: String { kind.rawValue }
  var fillsParameters: Bool { communicator.rank == 0 }
  let gradients: UnsafeMutablePointer<Float>
  let parameters: UnsafeMutablePointer<Float>
  var waitSeconds = 0.0

  private let communicator: Communicator
  /// Owns the shared memory that all pointers of this object lead into.
  private let window: SharedWindow
  private let bucketCount: Int
  /// One per rank, owned by this object. Not an array: iterating over one allocates in debug builds.
  private let controls: UnsafeMutablePointer<ControlBlock>
  /// For each bucket, one pointer per rank to this rank's slice within that rank's gradients. Owned by this object.
  private let piecePointers: UnsafeMutablePointer<UnsafePointer<Float>>

  /// Global sums taken so far.
  private var sumsTaken = 0

  /// Counters of one rank in shared memory, each on cache lines of its own (adjacent lines are fetched in pairs).
  private struct ControlBlock {
    /// Bytes of a block whose sums take up to `sumCapacity` numbers.
    static func byteCount(sumCapacity: Int) -> Int { 512 + 2 * place(sumCapacity) * MemoryLayout<Double>.stride }
    /// Numbers from one place of partials to the other: whole pairs of cache lines.
    private static func place(_ sumCapacity: Int) -> Int { (sumCapacity + 15) / 16 * 16 }
    /// step · buckets + the number of buckets announced in it, step counted from 0.
    let announced: UnsafeAtomic<Int>
    /// step + 1 once all the rank's slices have been written.
    let updated: UnsafeAtomic<Int>
    /// n + 1 once the rank's partials of its n-th sum, counted from 0, can be read.
    let partialsReady: UnsafeAtomic<Int>
    /// The rank's votes in the last even step, and in the last odd one. Written before, and read after, a release of
    /// `updated`. Two, because a fast rank may vote again in the next step before a slow one has read this step's.
    private let ballots: (even: UnsafeAtomic<Int>, odd: UnsafeAtomic<Int>)
    /// The rank's parts of global sums: two places of ``place`` numbers. Plain memory, ordered by `partialsReady`.
    let partials: UnsafeMutablePointer<Double>
    private let place: Int

    /// Views `memory`, the zero-filled start of a rank's segment. Sound because zero is a valid initial value of each
    /// atomic's storage, and because the window outlives the views.
    init(_ memory: UnsafeMutableRawPointer, sumCapacity: Int) {
      func counter(at offset: Int) -> UnsafeAtomic<Int> {
        UnsafeAtomic(at: (memory + offset).bindMemory(to: UnsafeAtomic<Int>.Storage.self, capacity: 1))
      }
      announced = counter(at: 0)
      updated = counter(at: 128)
      partialsReady = counter(at: 256)
      ballots = (counter(at: 384), counter(at: 392))
      place = Self.place(sumCapacity)
      partials = (memory + 512).bindMemory(to: Double.self, capacity: 2 * place)
    }

    func partials(ofSum sum: Int) -> UnsafeMutablePointer<Double> { partials + sum % 2 * place }

    func ballot(in step: Int) -> UnsafeAtomic<Int> { step.isMultiple(of: 2) ? ballots.even : ballots.odd }
  }

  /// Bytes of a rank's segment: control block and gradients, and on rank 0 the arena of y.
  private static func segmentByteCount(elementCount: Int, rank: Int, sumCapacity: Int) -> Int {
    let arena = (elementCount * MemoryLayout<Float>.stride + 127) / 128 * 128
    return ControlBlock.byteCount(sumCapacity: sumCapacity) + arena * (rank == 0 ? 2 : 1)
  }

  /// Collective over `node`, all ranks of which must share memory.
  ///
  /// - Parameter sumCapacity: how many numbers one sum takes.
  /// - Throws: `SharedWindowError` on all ranks if the window cannot be had; ``DataParallelError`` on all if a segment
  ///   is smaller than was asked for, as where ranks describe different arenas; `MPIError`.
  init(node: Communicator, layout: BucketLayout, sumCapacity: Int) throws {
    let elementCount = layout.elementCount
    let controlByteCount = ControlBlock.byteCount(sumCapacity: sumCapacity)
    let byteCount = Self.segmentByteCount(elementCount: elementCount, rank: node.rank, sumCapacity: sumCapacity)
    let window = try SharedWindow(node: node, byteCount: byteCount)
    func arena(rank: Int, index: Int) throws -> UnsafeMutablePointer<Float> {
      let segment = window.segment(of: rank)
      let expected = Self.segmentByteCount(elementCount: elementCount, rank: rank, sumCapacity: sumCapacity)
      guard let base = segment.baseAddress, segment.count >= expected else {
        throw DataParallelError.wrongElementCount(
          what: "the shared segment of rank \(rank)", expected: expected, found: segment.count)
      }
      let stride = (elementCount * MemoryLayout<Float>.stride + 127) / 128 * 128
      return (base + controlByteCount + index * stride).bindMemory(to: Float.self, capacity: max(elementCount, 1))
    }
    // One rank alone must not leave: the others would wait for it in the barrier below.
    let arenas: [UnsafeMutablePointer<Float>]
    (arenas, parameters) = try node.agree(on: "the shared memory") {
      (try (0..<node.size).map { try arena(rank: $0, index: 0) }, try arena(rank: 0, index: 1))
    }
    gradients = arenas[node.rank]
    controls = .allocate(capacity: node.size)
    for rank in 0..<node.size {
      // Not nil, or `arena` had thrown.
      guard let base = window.segment(of: rank).baseAddress else { continue }
      (controls + rank).initialize(to: ControlBlock(base, sumCapacity: sumCapacity))
    }
    bucketCount = layout.buckets.count
    piecePointers = .allocate(capacity: max(bucketCount * node.size, 1))
    for bucket in 0..<bucketCount {
      let slice = layout.slice(bucket: bucket, rank: node.rank, of: node.size)
      for rank in 0..<node.size {
        (piecePointers + bucket * node.size + rank).initialize(to: UnsafePointer(arenas[rank] + slice.lowerBound))
      }
    }
    self.communicator = node
    self.window = window
    try node.barrier()
  }

  deinit {
    piecePointers.deallocate()
    controls.deallocate()
  }

  func announce(step: Int, bucketCount finished: Int) {
    controls[communicator.rank].announced.store(step * bucketCount + finished, ordering: .releasing)
  }

  func beginExchange(step: Int, votes: StepVotes) {}

  func pieces(step: Int, bucket: Int) -> GradientPieces {
    let target = step * bucketCount + bucket + 1
    for rank in 0..<communicator.size { wait(for: controls[rank].announced, toReach: target) }
    return GradientPieces(
      pointers: UnsafePointer(piecePointers + bucket * communicator.size), count: communicator.size)
  }

  func sum(_ values: UnsafeMutablePointer<Double>, count: Int, rows: Int) {
    let own = controls[communicator.rank]
    own.partials(ofSum: sumsTaken).update(from: values, count: rows * count)
    own.partialsReady.store(sumsTaken + 1, ordering: .releasing)
    values.update(repeating: 0, count: count)
    for rank in 0..<communicator.size {
      wait(for: controls[rank].partialsReady, toReach: sumsTaken + 1)
      let partials = controls[rank].partials(ofSum: sumsTaken)
      for row in 0..<rows {
        for index in 0..<count { values[index] += partials[row * count + index] }
      }
    }
    sumsTaken += 1
  }

  func publish(step: Int, bucket: Int) {}

  func finish(step: Int, votes: StepVotes) -> StepVotes {
    controls[communicator.rank].ballot(in: step).store(votes.stored(in: step), ordering: .relaxed)
    controls[communicator.rank].updated.store(step + 1, ordering: .releasing)
    var all = StepVotes()
    for rank in 0..<communicator.size {
      wait(for: controls[rank].updated, toReach: step + 1)
      all.formUnion(StepVotes(stored: controls[rank].ballot(in: step).load(ordering: .relaxed), in: step))
    }
    return all
  }

  func shareParameters(_ point: SharedPoint, _ write: () -> Void) throws {
    // The fences make the plain reads and writes on both sides of MPI's barrier ordered for certain: MPI promises
    // that for memory in windows only together with its own synchronisation calls.
    atomicMemoryFence(ordering: .sequentiallyConsistent)
    try communicator.barrier()
    write()
    atomicMemoryFence(ordering: .sequentiallyConsistent)
    try communicator.barrier()
    atomicMemoryFence(ordering: .sequentiallyConsistent)
  }

  func close() throws {
    try window.free()
    try communicator.free()
  }

  /// Spins, at first with the processor's pause and then giving up the time slice, so that more ranks than cores make
  /// progress.
  @inline(__always)
  private func wait(for counter: UnsafeAtomic<Int>, toReach target: Int) {
    guard counter.load(ordering: .acquiring) < target else { return }
    let start = monotonicSeconds()
    var spins = 0
    repeat {
      spins += 1
      if spins < 2000 { fw_cpu_relax() } else { sched_yield() }
    } while counter.load(ordering: .acquiring) < target
    waitSeconds += monotonicSeconds() - start
  }
}

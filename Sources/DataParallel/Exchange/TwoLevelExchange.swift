import Atomics
import CKernels
import Glibc
import MPI
import Monitoring

/// Exchange in two levels: shared memory within a node, and between nodes messages that a communication thread sends
/// and receives while the rank's own thread computes.
///
/// Nodes hold P ranks each, P a power of two, numbered node by node. Gradients and y lie in the node's shared window as
/// in ``SharedExchange``. The ranks of one local number, one on each node, are peers; they own neighbouring nodes'
/// slices of every bucket, their **region**. For each bucket, the communication thread of a rank
/// 1. waits until all ranks of its node have announced it, sums their gradients over the region, and sends each peer
///    the sum over that peer's slice;
/// 2. adds up what the peers send for the rank's own slice, in the fixed tree: a node's sum is a subtree of the tree
///    over all ranks, so the bits are those of the flat exchange;
/// 3. updates the slice, writes y into the node's arena, and sends it to the peers;
/// 4. receives the peers' slices into the node's arena, and publishes the region.
///
/// Where clipping or the rule must know something of the whole gradient, step 3 waits until the ranks' threads have
/// taken the sums, and starts then for all buckets.
///
/// **Who may touch what, and when.** Within step s, counted from 0, and with all stores releasing and all loads
/// acquiring:
/// - A rank's thread writes its gradients in backward, then stores `announced`. Communication threads of its node load
///   it before they read those gradients, and before y of the bucket is written, by them or, because other nodes send
///   y only when they have the node's sums, by MPI.
/// - A communication thread stores `published` for a bucket once its region of it holds the new y. A rank's thread
///   loads those of all regions before it reads y there.
/// - A communication thread stores `completed` once it reads gradients no more and nothing is on its way. A rank's
///   thread loads those of its node before it writes gradients again.
/// - The rules and the state are the communication thread's from the announcement of a step's first bucket until it has
///   stored `completed`, and the rank's own thread's at other times.
/// - The communication thread alone uses the communicator of the peers, and the rank's own thread all others.
final class TwoLevelExchange: Exchange {
  let kind = ExchangeKind.shared
  var label: String {
    "two-level (\(topology.nodeCount) nodes × \(topology.localCount) ranks, \(options.algorithm.rawValue), "
      + "\(wire.rawValue) between nodes)"
  }
  let gradients: UnsafeMutablePointer<Float>
  let parameters: UnsafeMutablePointer<Float>
  var fillsParameters: Bool { topology.local == 0 }
  var waitSeconds = 0.0

  private let communicator: Communicator
  private let node: Communicator
  /// The peers, for the communication thread and, besides, for this one.
  private let peers: Communicator
  private let ownPeers: Communicator
  private let topology: NodeTopology
  private let options: InterNodeOptions
  private var wire: WireType { options.wire }
  private let layout: BucketLayout
  private let bucketCount: Int
  private let memory: NodeMemory
  private let partials: UnsafeMutablePointer<Double>
  /// For each bucket, `nodeCount` counts and offsets of the region's slices, as the collectives want them.
  private let sliceCounts: UnsafeMutablePointer<Int>
  private let sliceOffsets: UnsafeMutablePointer<Int>
  private let rounded: WireBuffer
  private let recorder: StepRecorder
  private var connection: Connection?

  /// What exists from ``start(_:isDeferred:)`` to ``close()``.
  private struct Connection {
    let worker: ExchangeWorker
    let transport: any NodeTransport
    let vote: StopVote?
    let thread: CommunicationThread
    let endCall: Int
  }

  /// The last step whose parameters have been waited for in part, and the buckets of it not waited for yet: those
  /// below this one.
  private var unseen = (step: -1, bucket: 0)
  /// Steps begun: whose first bucket has been announced.
  private var stepsBegun = 0

  /// Collective over `communicator`.
  ///
  /// - Parameters:
  ///   - node: the ranks of this rank's node, which share memory. This object's from now on, unless it throws.
  ///   - sumCapacity: how many numbers one sum takes.
  /// - Throws: `SharedWindowError` on all ranks of a node if memory cannot be shared there; ``DataParallelError``;
  ///   `MPIError`.
  init(
    communicator: Communicator, node: Communicator, topology: NodeTopology, layout: BucketLayout,
    options: InterNodeOptions, memory: NodeMemory, sumCapacity: Int, recorder: StepRecorder
  ) throws {
    let bucketCount = layout.buckets.count
    let nodeCount = topology.nodeCount
    self.communicator = communicator
    self.node = node
    self.topology = topology
    self.options = options
    let wire = options.wire
    self.layout = layout
    self.bucketCount = bucketCount
    self.recorder = recorder
    self.memory = memory
    gradients = memory.gradients[topology.local]
    parameters = memory.parameters
    peers = try communicator.split(color: topology.local, key: topology.node)
    ownPeers = try peers.duplicate()
    let own = layout.buckets.indices.map { layout.slice(bucket: $0, rank: communicator.rank, of: communicator.size) }
    rounded = try WireBuffer(wire, count: wire == .float32 ? 0 : own.map(\.count).max() ?? 0, for: "rounded y")
    partials = .allocate(capacity: sumCapacity * communicator.size)
    partials.initialize(repeating: 0, count: sumCapacity * communicator.size)
    sliceCounts = .allocate(capacity: max(bucketCount * nodeCount, 1))
    sliceOffsets = .allocate(capacity: max(bucketCount * nodeCount, 1))
    for bucket in 0..<bucketCount {
      for peer in 0..<nodeCount {
        let slice = layout.slice(bucket: bucket, rank: topology.peer(on: peer), of: topology.rankCount)
        (sliceCounts + bucket * nodeCount + peer).initialize(to: slice.count)
        (sliceOffsets + bucket * nodeCount + peer).initialize(to: slice.lowerBound)
      }
    }
  }

  deinit {
    // Not closed, perhaps because of an error: other ranks may still send what this one has asked MPI to receive, into
    // memory that must therefore stay to the end of the process.
    if let connection {
      connection.thread.stop()
      MPIRuntime.forget(beforeFinalize: connection.endCall)
      _ = Unmanaged.passRetained(connection.worker)
    }
    partials.deallocate()
    sliceCounts.deallocate()
    sliceOffsets.deallocate()
  }

  /// Starts the communication thread. Collective.
  ///
  /// - Parameters:
  ///   - update: what it is to do with sums of gradients.
  ///   - isDeferred: whether updates wait for ``proceed(step:scale:)``.
  /// - Throws: ``DataParallelError``, `MPIError`.
  func start(_ update: ShardUpdate, isDeferred: Bool) throws {
    let context = TransportContext(topology: topology, layout: layout, memory: memory, wire: wire, peers: peers)
    fw_wake_on_time()
    // Between two nodes both ways send the same, and the direct one copies less.
    let halves = options.algorithm == .halving && topology.nodeCount > 2
    let transport: any NodeTransport = halves ? try HalvingTransport(context) : try DirectTransport(context)
    let vote = try topology.local == 0 ? StopVote(over: peers, tag: 2 * bucketCount) : nil
    let worker = ExchangeWorker(
      update: update, memory: memory, topology: topology, transport: transport, vote: vote, isDeferred: isDeferred,
      recorder: recorder.communication)
    let thread = try communicator.agree(on: "the communication thread") {
      try CommunicationThread { thread in try worker.run(in: thread) }
    }
    // A program that ends without closing this object must not end MPI under the thread.
    let endCall = MPIRuntime.beforeFinalize { thread.stop() }
    connection = Connection(worker: worker, transport: transport, vote: vote, thread: thread, endCall: endCall)
  }

  // MARK: - The step

  func announce(step: Int, bucketCount finished: Int) {
    stepsBegun = step + 1
    memory.controls[topology.local].announced.store(step * bucketCount + finished, ordering: .releasing)
    for rank in 0..<topology.localCount { sem_post(memory.controls[rank].news) }
  }

  /// Hands in this rank's votes, once all buckets have been announced.
  func vote(step: Int, _ votes: StepVotes) {
    let control = memory.controls[topology.local]
    control.ballot(in: step).store(votes.stored(in: step), ordering: .relaxed)
    control.voted.store(step + 1, ordering: .releasing)
  }

  /// Returns when the gradients of this rank's slices have been summed over all ranks, in a step that is deferred.
  func awaitReduced(step: Int) throws {
    guard let connection else { return }
    try wait(for: connection.worker.reduced, toReach: step + 1, .exchanging)
  }

  /// Lets the updates of a deferred step begin.
  func proceed(step: Int, scale: Float) {
    connection?.worker.scale = scale
    connection?.worker.decided.store(2 * (step + 1), ordering: .releasing)
  }

  /// Gives a deferred step up: parameters and state stay as they are.
  func abandon(step: Int) { connection?.worker.decided.store(2 * (step + 1) + 1, ordering: .releasing) }

  /// The votes of all ranks in this step; the same on every rank.
  func awaitVerdict(step: Int) throws -> StepVotes {
    let verdict = memory.controls[0].verdict
    try wait(for: verdict, toReach: StepVotes.floor(step), .exchanging, bucket: bucketCount - 1)
    return StepVotes(stored: verdict.load(ordering: .acquiring), in: step)
  }

  /// Returns when the new y of the last step can be read up to arena offset `end`.
  func awaitParameters(upTo end: Int) throws {
    let step = stepsBegun - 1
    guard step >= 0 else { return }
    if unseen.step != step { unseen = (step, bucketCount) }
    while unseen.bucket > 0 && layout.buckets[unseen.bucket - 1].lowerBound < end {
      for rank in 0..<topology.localCount {
        try wait(
          for: memory.controls[rank].published(bucket: unseen.bucket - 1), toReach: step + 1, .publishing,
          bucket: unseen.bucket - 1)
      }
      unseen.bucket -= 1
    }
  }

  /// Returns when nothing of the last step is under way on this node any more: y can be read and gradients written.
  func awaitQuiet() throws {
    for rank in 0..<topology.localCount {
      try wait(for: memory.controls[rank].completed, toReach: stepsBegun, .publishing)
    }
  }

  // MARK: - Outside the step

  func sum(_ values: UnsafeMutablePointer<Double>, count: Int, rows: Int) throws {
    try communicator.sumRows(values, count: count, rows: rows, scratch: partials)
  }

  func shareParameters(_ point: SharedPoint, _ write: () -> Void) throws {
    try awaitQuiet()
    // The fences make the plain reads and writes on both sides of MPI's barrier ordered for certain: MPI promises
    // that for memory in windows only together with its own synchronisation calls.
    atomicMemoryFence(ordering: .sequentiallyConsistent)
    try node.barrier()
    write()
    for bucket in 0..<bucketCount {
      let entry = bucket * topology.nodeCount
      let (offset, count) = (sliceOffsets[entry + topology.node], sliceCounts[entry + topology.node])
      if point == .gradient && wire != .float32 {
        rounded.store(parameters + offset, at: 0, count: count)
        rounded.load(to: parameters + offset, from: 0, count: count)
      }
      try ownPeers.allGather(
        send: parameters + offset, count: count, receive: parameters, counts: sliceCounts + entry,
        offsets: sliceOffsets + entry)
    }
    atomicMemoryFence(ordering: .sequentiallyConsistent)
    try node.barrier()
    atomicMemoryFence(ordering: .sequentiallyConsistent)
  }

  func close() throws {
    guard let connection else { return }
    try awaitQuiet()
    connection.thread.stop()
    MPIRuntime.forget(beforeFinalize: connection.endCall)
    // What MPI still holds back of this rank's last messages moves on in here.
    try communicator.barrier()
    try connection.transport.free()
    try connection.vote?.free()
    self.connection = nil
    try memory.free()
    for each in [peers, ownPeers, node] { try each.free() }
  }

  // MARK: - Waiting

  /// Nanoseconds.
  private static let nap = 10_000

  /// Spins for some microseconds, and then sleeps again and again for a few: the communication thread does not sleep as
  /// long as this one waits, and may have no core but this one's.
  @inline(__always)
  private func wait(
    for counter: UnsafeAtomic<Int>, toReach target: Int, _ phase: Phase, bucket: Int = 0
  ) throws {
    if counter.load(ordering: .acquiring) < target {
      try waitLong(for: counter, toReach: target, phase, bucket: bucket)
    }
  }

  private func waitLong(
    for counter: UnsafeAtomic<Int>, toReach target: Int, _ phase: Phase, bucket: Int
  ) throws {
    guard let connection else { return }
    let start = monotonicSeconds()
    let phaseBefore = recorder.main.phase
    recorder.main.enter(phase, bucket: bucket)
    connection.worker.isAwaited.store(true, ordering: .relaxed)
    sem_post(memory.controls[topology.local].news)
    defer {
      connection.worker.isAwaited.store(false, ordering: .relaxed)
      recorder.main.resume(phaseBefore)
      waitSeconds += monotonicSeconds() - start
    }
    var spins = 0
    repeat {
      spins += 1
      if spins < 500 {
        fw_cpu_relax()
      } else {
        try connection.thread.rethrow()
        fw_nap(Self.nap)
      }
    } while counter.load(ordering: .acquiring) < target
  }
}

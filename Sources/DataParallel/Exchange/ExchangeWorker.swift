import Atomics
import CKernels
import Glibc
import MPI
import Monitoring

/// What the communication thread of a rank does, step by step: sum over the node, send, receive, update, send back.
///
/// Made by the rank's thread, and then the communication thread's alone, but for the atomics, which both use.
final class ExchangeWorker {
  // What the rank's thread tells.

  /// Steps whose update may begin, where that depends on sums over all parameters: 2 (step + 1), one more if the step
  /// is given up.
  let decided = UnsafeAtomic<Int>.create(0)
  /// The factor of gradient clipping; ordered by ``decided``.
  var scale: Float = 1
  /// The rank's thread waits, so nothing is gained by leaving it the core.
  let isAwaited = UnsafeAtomic<Bool>.create(false)

  // What the communication thread tells.

  /// step + 1 once the gradient of all this rank's slices has been summed.
  let reduced = UnsafeAtomic<Int>.create(0)

  private let update: ShardUpdate
  private let memory: NodeMemory
  private let topology: NodeTopology
  private let transport: any NodeTransport
  private let vote: StopVote?
  /// Whether updates wait for ``decided``.
  private let isDeferred: Bool
  private let bucketCount: Int
  /// Where each bucket is in its step; owned by this object.
  private let stages: UnsafeMutablePointer<Stage>
  private var naps: Naps
  /// Is told what this thread does, and of which bucket.
  private let recorder: ThreadRecorder
  private var recordedBucket = 0

  private enum Stage: UInt8 {
    /// This rank's sums over the node are on their way, and those of others.
    case summing
    /// Summed over all nodes; waits for ``decided``.
    case summed
    /// Updated; y is on its way to and from other nodes.
    case returning
    /// y of all nodes can be read.
    case published
  }

  init(
    update: ShardUpdate, memory: NodeMemory, topology: NodeTopology, transport: any NodeTransport, vote: StopVote?,
    isDeferred: Bool, recorder: ThreadRecorder
  ) {
    naps = Naps(memory.controls[topology.local].news)
    self.recorder = recorder
    self.update = update
    self.memory = memory
    self.topology = topology
    self.transport = transport
    self.vote = vote
    self.isDeferred = isDeferred
    bucketCount = update.layout.buckets.count
    stages = .allocate(capacity: bucketCount)
    stages.initialize(repeating: .published, count: bucketCount)
  }

  deinit {
    stages.deallocate()
    decided.destroy()
    isAwaited.destroy()
    reduced.destroy()
  }

  /// Works until the thread is to end.
  ///
  /// - Throws: `MPIError`.
  func run(in thread: CommunicationThread) throws {
    fw_wake_on_time()
    MPIRuntime.keepCore()
    var step = 0
    while try run(step, in: thread) { step += 1 }
    // A program that ends without closing the exchange: MPI sends what it has been given when it is finalised.
    try transport.sendRest()
  }

  /// - Returns: false if the thread is to end.
  private func run(_ step: Int, in thread: CommunicationThread) throws -> Bool {
    try transport.startGradients()
    if !isDeferred { try transport.startParameters() }
    try vote?.start()
    var (sent, firstOpen, summed) = (0, 0, 0)
    var (hasVoted, isJudged, isDecided) = (false, vote == nil, !isDeferred)
    while firstOpen < bucketCount || !isJudged {
      if thread.isStopping { return false }
      var hasMoved = false
      // Also with nothing to wait for here: others may wait for what is on its way to them.
      if sent > 0 { try transport.progress() }
      if sent < bucketCount && isAnnounced(sent, in: step) {
        // Gradients first: others wait for them, and nobody needs the new y yet.
        if sent == 0 { recorder.begin(step: update.stepAtHand + 1) }
        record(.exchanging, bucket: sent)
        stages[sent] = .summing
        try transport.sendGradients(sent)
        sent += 1
        hasMoved = true
      } else if !isDecided && summed == bucketCount {
        switch decision(of: step) {
        case .none: break
        case .some(true):
          try transport.startParameters()
          isDecided = true
        case .some(false):
          // The parameters stay as they are, and can be read.
          for bucket in 0..<bucketCount {
            memory.controls[topology.local].published(bucket: bucket).store(step + 1, ordering: .releasing)
          }
          firstOpen = bucketCount
          isDecided = true
        }
        hasMoved = isDecided
      } else if let bucket = try advance(from: firstOpen, to: sent, isDecided: isDecided, step: step) {
        hasMoved = true
        if isDeferred && stages[bucket] == .summed {
          summed += 1
          if summed == bucketCount { reduced.store(step + 1, ordering: .releasing) }
        }
        while firstOpen < sent && stages[firstOpen] == .published { firstOpen += 1 }
      }
      if let vote, !isJudged {
        if !hasVoted, let votes = nodeVotes(in: step) {
          try vote.send(votes)
          (hasVoted, hasMoved) = (true, true)
        }
        if hasVoted, let verdict = try vote.verdict() {
          memory.controls[topology.local].verdict.store(verdict.stored(in: step), ordering: .releasing)
          (isJudged, hasMoved) = (true, true)
        }
      }
      if hasMoved {
        naps.reset()
      } else {
        // Until the step begins here or elsewhere on the node, there is nothing to do.
        let isUnderWay = firstOpen < sent || (hasVoted && !isJudged)
        record(isUnderWay ? .exchanging : sent == 0 ? .idle : .waiting, bucket: isUnderWay ? firstOpen : sent)
        naps.nap(isAwaited: isAwaited.load(ordering: .relaxed), isIdle: sent == 0 && !hasVoted)
      }
    }
    while try !transport.sendsAreComplete() {
      if thread.isStopping { return false }
      naps.nap(isAwaited: isAwaited.load(ordering: .relaxed), isIdle: false)
    }
    record(.idle, bucket: 0)
    memory.controls[topology.local].completed.store(step + 1, ordering: .releasing)
    return true
  }

  private func record(_ phase: Phase, bucket: Int) {
    guard phase != recorder.phase || bucket != recordedBucket else { return }
    recorder.enter(phase, bucket: bucket)
    recordedBucket = bucket
  }

  /// Takes the first bucket that can go on a stage further. The newest come first: their parameters are those of the
  /// first layers, which the next forward pass needs first.
  ///
  /// - Returns: the bucket, if there was one.
  private func advance(from firstOpen: Int, to sent: Int, isDecided: Bool, step: Int) throws -> Int? {
    var bucket = sent
    while bucket > firstOpen {
      bucket -= 1
      switch stages[bucket] {
      case .summing:
        guard try transport.piecesArrived(bucket) else { continue }
        record(.updating, bucket: bucket)
        if isDeferred {
          update.reduce(bucket: bucket, transport.pieces(bucket))
          stages[bucket] = .summed
        } else {
          update.update(bucket: bucket, transport.pieces(bucket), scale: 1)
          try transport.sendParameters(bucket)
          stages[bucket] = .returning
        }
        return bucket
      case .summed:
        guard isDecided else { continue }
        record(.updating, bucket: bucket)
        update.updateFromReduced(bucket: bucket, scale: scale)
        try transport.sendParameters(bucket)
        stages[bucket] = .returning
        return bucket
      case .returning:
        guard try transport.parametersArrived(bucket) else { continue }
        record(.publishing, bucket: bucket)
        memory.controls[topology.local].published(bucket: bucket).store(step + 1, ordering: .releasing)
        stages[bucket] = .published
        return bucket
      case .published: continue
      }
    }
    return nil
  }

  /// Whether every rank of the node has announced a bucket. After that its gradients may be read and its y written.
  private func isAnnounced(_ bucket: Int, in step: Int) -> Bool {
    let target = step * bucketCount + bucket + 1
    for rank in 0..<memory.rankCount where memory.controls[rank].announced.load(ordering: .acquiring) < target {
      return false
    }
    return true
  }

  /// The votes of all ranks of the node; nil until all have voted.
  private func nodeVotes(in step: Int) -> StepVotes? {
    var votes = StepVotes()
    for rank in 0..<memory.rankCount {
      guard memory.controls[rank].voted.load(ordering: .acquiring) > step else { return nil }
      votes.formUnion(
        StepVotes(stored: memory.controls[rank].ballot(in: step).load(ordering: .relaxed), in: step))
    }
    return votes
  }

  /// Whether the update of a step is to be made; nil until that is known.
  private func decision(of step: Int) -> Bool? {
    let value = decided.load(ordering: .acquiring)
    guard value >= 2 * (step + 1) else { return nil }
    return value == 2 * (step + 1)
  }
}

/// How the communication thread waits. It shares its core with the thread that computes, more often than not, and each
/// time that it wakes costs that thread some microseconds: so it sleeps, longer while nothing completes. What the ranks
/// of its node have for it wakes it. MPI moves messages on only when it is called, but the system's buffers hold what a
/// network carries in the meantime.
struct Naps {
  private static let shortest = 80_000
  private static let longest = 400_000
  /// While nothing is computed. Not a spin: a thread that has slept is woken before those that have run, so naps are
  /// the quicker way wherever there are more threads than cores.
  private static let awaited = 10_000
  /// While nothing is under way: news wakes the thread.
  private static let idle = 5_000_000
  private let news: UnsafeMutablePointer<sem_t>
  private var nanoseconds = Naps.shortest

  /// - Parameter news: posted where there is something to do.
  init(_ news: UnsafeMutablePointer<sem_t>) { self.news = news }

  mutating func reset() { nanoseconds = Naps.shortest }

  /// - Parameters:
  ///   - isAwaited: the thread that computes has nothing to do until messages arrive.
  ///   - isIdle: no message is under way.
  mutating func nap(isAwaited: Bool, isIdle: Bool) {
    if isIdle { return fw_nap_until_posted(news, Naps.idle) }
    if isAwaited { return fw_nap_until_posted(news, Naps.awaited) }
    fw_nap_until_posted(news, nanoseconds)
    nanoseconds = min(nanoseconds + nanoseconds / 2, Naps.longest)
  }
}

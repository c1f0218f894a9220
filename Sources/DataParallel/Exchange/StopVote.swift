import MPI

/// How ranks agree on votes, such as whether to stop, without waiting for each other in a collective: the first rank of
/// each node tells those of all others how its node votes.
///
/// Belongs to the communication thread of a node's first rank.
final class StopVote {
  private let messages: RepeatedMessages
  /// The votes of each node, the own ones among them, as bits; owned by this object.
  private let ballots: UnsafeMutablePointer<Int32>
  private let nodeCount: Int
  private let node: Int
  private let sends: Range<Int>
  private let receives: Range<Int>

  /// - Parameter tag: one that no other message between these ranks has.
  /// - Throws: `MPIError`.
  init(over peers: Communicator, tag: Int) throws {
    (nodeCount, node) = (peers.size, peers.rank)
    ballots = .allocate(capacity: peers.size)
    ballots.initialize(repeating: 0, count: peers.size)
    messages = try RepeatedMessages(over: peers, capacity: 2 * peers.size)
    for peer in 0..<nodeCount where peer != node {
      try messages.addReceive(ballots + peer, count: 1, from: peer, tag: tag)
    }
    receives = 0..<messages.count
    for peer in 0..<nodeCount where peer != node {
      try messages.addSend(UnsafePointer(ballots + node), count: 1, to: peer, tag: tag)
    }
    sends = receives.upperBound..<messages.count
  }

  deinit { ballots.deallocate() }

  /// Receives the votes of a step from now on.
  func start() throws { try messages.start(receives) }

  /// Tells the other nodes how this one votes.
  func send(_ votes: StepVotes) throws {
    ballots[node] = Int32(truncatingIfNeeded: votes.bits)
    try messages.start(sends)
  }

  /// The votes of all nodes; nil while they are not known.
  func verdict() throws -> StepVotes? {
    try messages.progress(0..<sends.upperBound)
    guard messages.isKnownComplete(receives), messages.isKnownComplete(sends) else { return nil }
    var votes = StepVotes()
    for node in 0..<nodeCount { votes.formUnion(StepVotes(bits: Int(ballots[node]))) }
    return votes
  }

  /// Gives MPI's requests back, after the thread has ended.
  func free() throws { try messages.free() }
}

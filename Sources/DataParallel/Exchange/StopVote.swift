import MPI

/// How ranks agree on whether to stop, without waiting for each other in a collective: the first rank of each node
/// tells those of all others what its node wishes.
///
/// Belongs to the communication thread of a node's first rank.
final class StopVote {
  private let messages: RepeatedMessages
  /// One wish a node, the own one among them; owned by this object.
  private let wishes: UnsafeMutablePointer<Int32>
  private let nodeCount: Int
  private let node: Int
  private let sends: Range<Int>
  private let receives: Range<Int>

  /// - Parameter tag: one that no other message between these ranks has.
  /// - Throws: `MPIError`.
  init(over peers: Communicator, tag: Int) throws {
    (nodeCount, node) = (peers.size, peers.rank)
    wishes = .allocate(capacity: peers.size)
    wishes.initialize(repeating: 0, count: peers.size)
    messages = try RepeatedMessages(over: peers, capacity: 2 * peers.size)
    for peer in 0..<nodeCount where peer != node {
      try messages.addReceive(wishes + peer, count: 1, from: peer, tag: tag)
    }
    receives = 0..<messages.count
    for peer in 0..<nodeCount where peer != node {
      try messages.addSend(UnsafePointer(wishes + node), count: 1, to: peer, tag: tag)
    }
    sends = receives.upperBound..<messages.count
  }

  deinit { wishes.deallocate() }

  /// Receives the wishes of a step from now on.
  func start() throws { try messages.start(receives) }

  /// Tells the other nodes what this one wishes.
  func send(_ wish: Bool) throws {
    wishes[node] = wish ? 1 : 0
    try messages.start(sends)
  }

  /// Whether any node wishes to stop; nil while that is not known.
  func verdict() throws -> Bool? {
    guard try messages.isComplete(receives), try messages.isComplete(sends) else { return nil }
    var wish = false
    for node in 0..<nodeCount { wish = wish || wishes[node] != 0 }
    return wish
  }

  /// Gives MPI's requests back, after the thread has ended.
  func free() throws { try messages.free() }
}

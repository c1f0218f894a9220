import MPI
import Monitoring

/// Sends messages by urgency. MPI and the system send what they have been given in the order in which they got it, so
/// that what is known last and needed first, the parameters of the first layers, would wait for all that can wait. Here
/// MPI is given as much as it sends in some milliseconds, and of the rest the most urgent is next. With many nodes that
/// goes by the slowest of them: a bucket is sent when all have got their pieces.
///
/// Belongs to the communication thread. Allocates nothing after it was made.
final class SendQueue {
  /// What is sent together: the messages of a bucket to all nodes that get a piece of it.
  private struct Item {
    var messages = 0..<0
    var urgency = 0
    /// When MPI was given it.
    var start = 0.0
  }

  /// If an item takes less than this, MPI is given more of them at a time, and fewer if it takes longer than that: as
  /// much as keeps the network busy between two looks of this thread, and not so much that what is urgent waits long.
  private static let (shortest, longest) = (0.001, 0.004)
  private static let most = 64

  private let messages: RepeatedMessages
  /// What waits, in no order, and what MPI has been given; owned by this object.
  private let waiting: UnsafeMutablePointer<Item>
  private let given: UnsafeMutablePointer<Item>
  private var waitingCount = 0
  private var givenCount = 0
  /// How many items MPI is given at a time.
  private var depth = 1

  /// - Parameter capacity: how many items there are in a step.
  init(_ messages: RepeatedMessages, capacity: Int) {
    self.messages = messages
    waiting = .allocate(capacity: max(capacity, 1))
    waiting.initialize(repeating: Item(), count: max(capacity, 1))
    given = .allocate(capacity: Self.most)
    given.initialize(repeating: Item(), count: Self.most)
  }

  deinit {
    waiting.deallocate()
    given.deallocate()
  }

  /// Whether MPI has been given everything.
  var isEmpty: Bool { waitingCount == 0 }

  /// Sends messages once it is their turn.
  ///
  /// - Parameters:
  ///   - messages: none of which is under way.
  ///   - urgency: the higher, the earlier.
  /// - Throws: `MPIError`.
  func send(_ messages: Range<Int>, urgency: Int) throws {
    guard !messages.isEmpty else { return }
    waiting[waitingCount] = Item(messages: messages, urgency: urgency)
    waitingCount += 1
    try giveMore()
  }

  /// Gives MPI all that waits: nobody will call ``giveMore()`` any more, and others wait for it.
  ///
  /// - Throws: `MPIError`.
  func giveAll() throws {
    for index in 0..<waitingCount { try messages.start(waiting[index].messages) }
    waitingCount = 0
  }

  /// Gives MPI more once it is done with something; to be called after `RepeatedMessages.progress(_:)`.
  ///
  /// - Throws: `MPIError`.
  func giveMore() throws {
    guard givenCount > 0 || waitingCount > 0 else { return }
    let now = monotonicSeconds()
    var index = 0
    while index < givenCount {
      guard messages.isKnownComplete(given[index].messages) else {
        index += 1
        continue
      }
      let seconds = now - given[index].start
      // Only where more could have been under way.
      if seconds < Self.shortest && waitingCount > 0 { depth = min(depth + 1, Self.most) }
      if seconds > Self.longest { depth = max(depth - 1, 1) }
      givenCount -= 1
      given[index] = given[givenCount]
    }
    while waitingCount > 0 && givenCount < depth {
      var next = 0
      for index in 1..<waitingCount where waiting[index].urgency > waiting[next].urgency { next = index }
      var item = waiting[next]
      waitingCount -= 1
      waiting[next] = waiting[waitingCount]
      item.start = now
      given[givenCount] = item
      givenCount += 1
      try messages.start(item.messages)
    }
  }
}

internal import CMPI

/// Messages that are described once and then sent and received again and again between the same places, as every step
/// of training does: MPI's persistent requests. Starting and testing allocate nothing and do not wait.
///
/// Messages are numbered in the order in which they were added; a range of numbers is started and tested together.
/// MPI moves messages on only inside of its calls, so whoever waits calls ``isComplete(_:)`` or ``progress(_:)`` again
/// and again.
///
/// The memory that messages lead into is the caller's, and stays where it is until ``free()``. Not `Sendable`: it
/// belongs to one thread at a time, which may be another than the one that made it where `MPIRuntime.threadLevel` is
/// `.multiple`; its communicator then belongs to that thread too.
public final class RepeatedMessages {
  /// Owned by this object; the requests in it are MPI's until ``free()``.
  private let messages: UnsafeMutablePointer<cmpi_messages>
  /// Keeps the communicator's object; its handle is the runtime's.
  private let communicator: Communicator

  /// Room for `capacity` messages over a communicator.
  /// - Throws: `MPIError` when there is no memory.
  public init(over communicator: Communicator, capacity: Int) throws {
    guard let narrow = Int32(exactly: capacity), let made = cmpi_messages_create(communicator.handle, narrow) else {
      throw MPIError(call: "MPI_Send_init", code: MPI_ERR_NO_MEM, message: "no memory for \(capacity) messages")
    }
    messages = made
    self.communicator = communicator
  }

  deinit { cmpi_messages_destroy(messages) }

  /// How many messages have been added: the number of the next one.
  public var count: Int { Int(messages.pointee.count) }

  /// Adds a message of `count` elements at `source` to rank `target`, which receives it with the same tag.
  /// - Throws: `MPIError`, also for more than 2³¹-1 elements.
  public func addSend<T: MPIElement>(_ source: UnsafePointer<T>, count: Int, to target: Int, tag: Int) throws {
    try check(
      cmpi_messages_add_send(
        messages, source, count, T.mpiElementType.code, Int32(clamping: target), Int32(clamping: tag)))
  }

  /// Adds a message of `count` elements from rank `source`, to be written to `target`.
  /// - Throws: `MPIError`, also for more than 2³¹-1 elements.
  public func addReceive<T: MPIElement>(
    _ target: UnsafeMutablePointer<T>, count: Int, from source: Int, tag: Int
  ) throws {
    try check(
      cmpi_messages_add_receive(
        messages, target, count, T.mpiElementType.code, Int32(clamping: source), Int32(clamping: tag)))
  }

  /// Starts messages, none of which is under way.
  /// - Throws: `MPIError`.
  public func start(_ range: Range<Int>) throws {
    try check(
      cmpi_messages_start(
        messages, Int32(truncatingIfNeeded: range.lowerBound), Int32(truncatingIfNeeded: range.count)))
  }

  /// Whether all of these messages that were started have been received, or been taken over by MPI to be sent. True
  /// where none was started.
  /// - Throws: `MPIError`, also where a message came with another number of elements.
  public func isComplete(_ range: Range<Int>) throws -> Bool {
    var done: Int32 = 0
    try check(
      cmpi_messages_test(
        messages, Int32(truncatingIfNeeded: range.lowerBound), Int32(truncatingIfNeeded: range.count), &done))
    return done != 0
  }

  /// Moves all messages of the process on, and takes note of those in the range that are complete: a few calls to
  /// MPI however many they are.
  /// - Throws: `MPIError`, also where a message came with another number of elements.
  public func progress(_ range: Range<Int>) throws {
    try check(
      cmpi_messages_progress(
        messages, Int32(truncatingIfNeeded: range.lowerBound), Int32(truncatingIfNeeded: range.count)))
  }

  /// Whether all of these messages that were started are known to be complete, from ``progress(_:)`` or
  /// ``isComplete(_:)``. Does not call MPI.
  public func isKnownComplete(_ range: Range<Int>) -> Bool {
    cmpi_messages_are_complete(
      messages, Int32(truncatingIfNeeded: range.lowerBound), Int32(truncatingIfNeeded: range.count)) != 0
  }

  /// Takes back what has not been received, and gives the requests back to MPI. Nothing may be started afterwards.
  /// - Throws: `MPIError`.
  public func free() throws { try check(cmpi_messages_free(messages)) }
}

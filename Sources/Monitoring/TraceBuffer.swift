import Atomics

/// Something that happened on one thread, 24 bytes.
public struct TraceEvent: Sendable {
  /// What kind of thing.
  public enum Kind: UInt8, Sendable {
    /// A phase begins; it lasts until the next one. ``TraceEvent/index``: its bucket.
    case phase
    /// An operation of the plan begins; it lasts until the next one or the next phase. Index: its number.
    case operation
    /// The gradients of a bucket are final. Index: the last bucket announced.
    case announcement
    /// A step begins. Index: its number, from 1.
    case step
  }

  /// Nanoseconds of the host's monotonic clock.
  public var time: Int
  /// What happened.
  public var kind: Kind
  /// The phase at that time.
  public var phase: Phase
  /// What the kind says it is.
  public var index: Int
}

/// Events of one thread in a few steps: memory is had before the first of them, and what does not fit is counted
/// instead.
///
/// `@unchecked Sendable`: one thread appends. Another may read the events below ``count``, which is stored with release
/// ordering after an event is written and loaded with acquire ordering.
public final class TraceBuffer: @unchecked Sendable {
  /// The steps whose events are kept, counted from 1.
  public let steps: ClosedRange<Int>
  private let events: UnsafeMutablePointer<TraceEvent>
  private let capacity: Int
  private let filled = ManagedAtomic<Int>(0)
  private let lost = ManagedAtomic<Int>(0)

  /// - Parameters:
  ///   - steps: the steps whose events are kept, counted from 1.
  ///   - capacity: room for so many events.
  public init(steps: ClosedRange<Int>, capacity: Int) {
    self.steps = steps
    self.capacity = max(capacity, 1)
    events = .allocate(capacity: self.capacity)
    // Written once, so that no page is missing when time is measured.
    events.initialize(repeating: TraceEvent(time: 0, kind: .step, phase: .idle, index: 0), count: self.capacity)
  }

  deinit { events.deallocate() }

  /// Adds an event; by the thread whose buffer this is.
  func append(_ event: TraceEvent) {
    let count = filled.load(ordering: .relaxed)
    guard count < capacity else { return lost.store(lost.load(ordering: .relaxed) + 1, ordering: .relaxed) }
    events[count] = event
    filled.store(count + 1, ordering: .releasing)
  }

  /// What was kept, in order.
  public var kept: [TraceEvent] { (0..<filled.load(ordering: .acquiring)).map { events[$0] } }

  /// How many events found no room.
  public var lostCount: Int { lost.load(ordering: .relaxed) }
}

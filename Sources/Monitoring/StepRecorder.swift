/// What a rank does, told by its own threads as they go: seen by watchdogs, added up for the summary of a run, and
/// kept, of a few steps, for a timeline.
///
/// Telling costs a reading of the clock and a few stores. Nothing is allocated, locked or looked up.
public final class StepRecorder {
  /// Of the thread that computes.
  public let main: ThreadRecorder
  /// Of the thread that communicates, where there is one.
  public let communication: ThreadRecorder

  /// When each bucket was announced, in nanoseconds from the beginning of the backward pass, added up over
  /// ``announcedSteps`` steps. Owned by this object.
  private var announcedAfter: UnsafeMutableBufferPointer<Int>
  private var announcedSteps = 0
  private let memory: SharedRecords

  /// - Parameters:
  ///   - records: where progress is kept; private memory unless others are to see it.
  ///   - index: this rank's number among the records.
  public init(records: SharedRecords = SharedRecords(), index: Int = 0) {
    memory = records
    let record = records[index]
    main = ThreadRecorder(record.main, thread: 0)
    communication = ThreadRecorder(record.communication, thread: 1)
    communication.enter(.idle)
    announcedAfter = UnsafeMutableBufferPointer(start: nil, count: 0)
  }

  deinit { announcedAfter.deallocate() }

  /// Makes room for so many buckets. Before the first step.
  public func prepare(bucketCount: Int) {
    announcedAfter.deallocate()
    announcedAfter = .allocate(capacity: max(bucketCount, 1))
    announcedAfter.initialize(repeating: 0)
    announcedSteps = 0
  }

  /// Tells that this rank's gradients of buckets `first ..< last` are final. By the thread that computes.
  public func announce(buckets first: Int, _ last: Int) {
    let now = main.announce(last)
    for bucket in first..<min(last, announcedAfter.count) {
      announcedAfter[bucket] += now - main.backwardStart
      if bucket == 0 { announcedSteps += 1 }
    }
  }

  /// Mean seconds from the beginning of backward to the announcement of each bucket, over the steps so far.
  public var announcementSeconds: [Double] {
    announcedAfter.map { Double($0) * 1e-9 / Double(max(announcedSteps, 1)) }
  }
}

/// One thread's part of a ``StepRecorder``. Owned by that thread: nothing else may call its methods.
///
/// `@unchecked Sendable`, so that it can be handed to the thread it is for. What other threads read while this one runs
/// are the atomics of the record and of the trace.
public final class ThreadRecorder: @unchecked Sendable {
  private let lane: ProgressRecord.Lane
  private let thread: Int
  /// What the thread does.
  public private(set) var phase = Phase.starting
  private var since: Int
  /// Nanoseconds spent in each phase; owned by this object.
  private let spent: UnsafeMutablePointer<Int>
  /// Kept until the object ends, as it is written to without looking.
  private var trace: TraceBuffer?
  private var isTracing = false
  /// When the last backward pass began.
  private(set) var backwardStart = 0

  init(_ lane: ProgressRecord.Lane, thread: Int) {
    self.lane = lane
    self.thread = thread
    spent = .allocate(capacity: Phase.allCases.count)
    spent.initialize(repeating: 0, count: Phase.allCases.count)
    since = monotonicNanoseconds()
    lane.changed.store(since, ordering: .relaxed)
  }

  deinit { spent.deallocate() }

  /// The thread begins to do something else.
  ///
  /// - Parameters:
  ///   - phase: what it does from now on.
  ///   - bucket: the bucket at hand, where the phase has one.
  public func enter(_ phase: Phase, bucket: Int = 0) {
    let now = turn(to: phase, bucket: bucket)
    if phase == .backward { backwardStart = now }
  }

  /// The thread goes on with what it was interrupted in, by a wait or a sum.
  public func resume(_ phase: Phase, bucket: Int = 0) { _ = turn(to: phase, bucket: bucket) }

  private func turn(to phase: Phase, bucket: Int) -> Int {
    let now = monotonicNanoseconds()
    spent[Int(self.phase.rawValue)] += now - since
    since = now
    self.phase = phase
    lane.phase.store(phase.rawValue, ordering: .relaxed)
    lane.bucket.store(bucket, ordering: .relaxed)
    lane.changed.store(now, ordering: .relaxed)
    if isTracing { trace?.append(TraceEvent(time: now, kind: .phase, phase: phase, index: bucket)) }
    return now
  }

  /// The step at hand, counted from 1. From any thread.
  public var step: Int { lane.step.load(ordering: .relaxed) }

  /// A step begins, counted from 1.
  public func begin(step: Int) {
    lane.step.store(step, ordering: .relaxed)
    lane.announced.store(0, ordering: .relaxed)
    guard let trace else { return }
    isTracing = trace.steps.contains(step)
    if isTracing { trace.append(TraceEvent(time: monotonicNanoseconds(), kind: .step, phase: phase, index: step)) }
  }

  /// A long phase has come a bit further, as from one batch of an evaluation to the next.
  public func tick() { lane.changed.store(monotonicNanoseconds(), ordering: .relaxed) }

  /// An operation of the plan begins.
  public func begin(operation index: Int) {
    guard isTracing else { return }
    trace?.append(TraceEvent(time: monotonicNanoseconds(), kind: .operation, phase: phase, index: index))
  }

  /// The gradients of the first `count` buckets are final.
  ///
  /// - Returns: when.
  func announce(_ count: Int) -> Int {
    let now = monotonicNanoseconds()
    lane.announced.store(count, ordering: .relaxed)
    lane.changed.store(now, ordering: .relaxed)
    if isTracing { trace?.append(TraceEvent(time: now, kind: .announcement, phase: phase, index: count - 1)) }
    return now
  }

  /// Keeps what happens in some steps. Before the first of them.
  public func record(into trace: TraceBuffer) { self.trace = trace }

  /// Seconds spent in each share of a step so far, by the raw value of ``Phase/Share``, up to the phase at hand.
  public func addShares(to seconds: UnsafeMutablePointer<Double>) {
    for phase in Phase.allCases {
      if let share = phase.share { seconds[share.rawValue] += Double(spent[Int(phase.rawValue)]) * 1e-9 }
    }
  }

  /// Seconds spent in one phase so far.
  public func seconds(in phase: Phase) -> Double { Double(spent[Int(phase.rawValue)]) * 1e-9 }
}

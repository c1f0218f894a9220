import DataParallel
import Foundation
import MPI
import Monitoring
import Neural

/// The timeline of a few steps of all ranks, in the trace event format that chrome://tracing and Perfetto show: a
/// process for each rank, in it a line for each thread.
///
/// Events are kept in memory that is there before the first of the steps, and written after the last: by each rank as
/// text, put together by rank zero.
final class RunTrace {
  private let path: String
  private let steps: ClosedRange<Int>
  private let main: TraceBuffer
  private let communication: TraceBuffer
  private let plan: Plan
  private let bucketCount: Int
  private let world: Communicator
  private var isWritten = false

  /// Collective.
  ///
  /// - Parameters:
  ///   - firstStep: the step with which this process begins.
  ///   - batchesPerStep: batches of a rank that are computed in a step.
  /// - Throws: ``TrainingError/trace(path:reason:)`` on every rank if the file cannot be written, or the steps are not
  ///   among those of the run.
  init(
    path: String, steps: ClosedRange<Int>, firstStep: Int, totalSteps: Int, batchesPerStep: Int, plan: Plan,
    bucketCount: Int, recorder: StepRecorder, on world: Communicator
  ) throws {
    self.path = path
    self.steps = steps
    self.plan = plan
    self.bucketCount = bucketCount
    self.world = world
    guard steps.lowerBound >= firstStep, steps.upperBound <= totalSteps else {
      throw TrainingError.trace(
        path: path,
        reason: "--trace-steps \(TraceSteps(steps)) are not all among steps \(firstStep) to \(totalSteps) of this run")
    }
    // Each batch: assembled, forward, backward, and the waits of a forward pass between nodes; each bucket: waited for,
    // exchanged, updated, published, announced.
    let perBatch = plan.operationLabels.count + 8 + 2 * bucketCount
    let perStep = batchesPerStep * perBatch + 6 * bucketCount + 32
    main = TraceBuffer(steps: steps, capacity: steps.count * perStep)
    communication = TraceBuffer(steps: steps, capacity: steps.count * (12 * bucketCount + 32))
    try world.agree(on: "--trace") {
      guard world.rank == 0 else { return }
      do {
        try Data().write(to: URL(fileURLWithPath: path))
      } catch {
        throw TrainingError.trace(path: path, reason: "the file cannot be written: \(error.localizedDescription)")
      }
    }
    recorder.main.record(into: main)
    recorder.communication.record(into: communication)
  }

  /// A step begins, counted from 1: the plan tells of its operations where they are wanted.
  func begin(step: Int, recorder: ThreadRecorder) {
    if step == steps.lowerBound {
      plan.operationObserver = { recorder.begin(operation: $0) }
    } else if step == steps.upperBound + 1 {
      plan.operationObserver = nil
    }
  }

  /// Whether the file is to be written after this step: the last of the timeline, or of a run that was stopped.
  func isDue(after step: Int, stopped: Bool) -> Bool { !isWritten && (step == steps.upperBound || stopped) }

  /// Writes the file. Collective; nothing is under way between ranks any more.
  ///
  /// - Returns: what a person should know; on rank zero.
  func write() throws -> String? {
    isWritten = true
    plan.operationObserver = nil
    let offset = try clockOffset()
    let origin = try world.allReduceMin((main.kept.first?.time ?? Int.max) - offset)
    let lost = try world.allReduceSum(main.lostCount + communication.lostCount)
    let text = TraceText(
      rank: world.rank, host: MPIRuntime.hostName, origin: origin + offset, labels: plan.operationLabels)
    let parts = try world.gather(
      bytes: Array(
        (text.header(hasCommunication: !communication.kept.isEmpty) + text.lines(main.kept, thread: 0)
          + text.lines(communication.kept, thread: 1)).joined(separator: ",\n").utf8),
      root: 0)
    return try world.agree(on: "--trace") { () throws -> String? in
      guard world.rank == 0 else { return nil }
      var file = Data("{\"displayTimeUnit\":\"ms\",\"otherData\":{\"lost_events\":\(lost)},\"traceEvents\":[\n".utf8)
      for (index, part) in parts.enumerated() {
        if index > 0 { file.append(Data(",\n".utf8)) }
        file.append(contentsOf: part)
      }
      file.append(Data("\n]}\n".utf8))
      do {
        try file.write(to: URL(fileURLWithPath: path))
      } catch {
        throw TrainingError.trace(path: path, reason: error.localizedDescription)
      }
      let loss = lost > 0 ? " (\(lost) events did not fit)" : ""
      return
        "the timeline of steps \(TraceSteps(steps)) is in \(path)\(loss); chrome://tracing and ui.perfetto.dev show it"
    }
  }

  /// How far this host's clock is ahead of rank zero's. One rank of a node finds out: the others have the same clock.
  private func clockOffset() throws -> Int {
    let node = try world.splitByNode()
    let leaders = try world.split(color: node.rank == 0 ? 0 : 1, key: world.rank)
    var offset = node.rank == 0 ? try leaders.clockOffset() : 0
    try withUnsafeMutableBytes(of: &offset) { try node.broadcast($0, root: 0) }
    try leaders.free()
    try node.free()
    return offset
  }
}

/// Events in the trace event format: one object a line.
struct TraceText {
  let rank: Int
  let host: String
  /// What becomes time 0, in nanoseconds of this rank's clock.
  let origin: Int
  /// What each operation of the plan is.
  let labels: [String]

  /// The names of this rank's process and threads.
  func header(hasCommunication: Bool) -> [String] {
    var lines = [
      metadata("process_name", 0, "\"name\":\"rank \(rank) on \(escaped(host))\""),
      metadata("process_sort_index", 0, "\"sort_index\":\(rank)"),
      metadata("thread_name", 0, "\"name\":\"compute\""),
    ]
    if hasCommunication { lines.append(metadata("thread_name", 1, "\"name\":\"communication\"")) }
    return lines
  }

  /// The events of one thread. What begins lasts until the next of its kind: a phase until the next phase, an operation
  /// until the next operation or phase, a step until the next step or the last event.
  func lines(_ events: [TraceEvent], thread: Int) -> [String] {
    var lines: [String] = []
    var phase: TraceEvent?
    var operation: TraceEvent?
    var step: TraceEvent?
    func close(_ event: inout TraceEvent?, at end: Int) {
      if let begun = event { lines.append(span(begun, until: end, thread: thread)) }
      event = nil
    }
    for event in events {
      switch event.kind {
      case .phase:
        close(&operation, at: event.time)
        close(&phase, at: event.time)
        // What has nothing to do is shown as nothing.
        phase = event.phase == .idle ? nil : event
      case .operation:
        close(&operation, at: event.time)
        operation = event
      case .step:
        close(&step, at: event.time)
        step = event
      case .announcement:
        lines.append(
          "{\"name\":\"bucket \(event.index) announced\",\"cat\":\"announcement\",\"ph\":\"i\",\"s\":\"t\","
            + "\"ts\":\(microseconds(event.time - origin)),\"pid\":\(rank),\"tid\":\(thread)}")
      }
    }
    guard let last = events.last else { return lines }
    close(&operation, at: last.time)
    // What begins with the last event has no end.
    if let begun = phase, begun.time < last.time { close(&phase, at: last.time) }
    close(&step, at: last.time)
    return lines
  }

  private func span(_ event: TraceEvent, until end: Int, thread: Int) -> String {
    let name: String
    let category: String
    switch event.kind {
    case .step: (name, category) = ("step \(event.index)", "step")
    case .operation:
      (name, category) = (labels.indices.contains(event.index) ? labels[event.index] : "operation", "operation")
    case .phase, .announcement:
      name = event.phase.bucketedName(event.index)
      category = event.phase.share.map { "\($0)" } ?? "outside"
    }
    return "{\"name\":\"\(escaped(name))\",\"cat\":\"\(category)\",\"ph\":\"X\","
      + "\"ts\":\(microseconds(event.time - origin)),\"dur\":\(microseconds(max(0, end - event.time))),"
      + "\"pid\":\(rank),\"tid\":\(thread)}"
  }

  private func metadata(_ name: String, _ thread: Int, _ argument: String) -> String {
    "{\"name\":\"\(name)\",\"ph\":\"M\",\"pid\":\(rank),\"tid\":\(thread),\"args\":{\(argument)}}"
  }

  private func microseconds(_ nanoseconds: Int) -> String { String(format: "%.3f", Double(nanoseconds) * 1e-3) }

  private func escaped(_ text: String) -> String {
    String(
      text.flatMap { character -> [Character] in
        switch character {
        case "\"", "\\": ["\\", character]
        default: (character.asciiValue ?? 32) < 32 ? [" "] : [character]
        }
      })
  }
}

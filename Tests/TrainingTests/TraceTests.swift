import Foundation
import TestSupport
import Testing

@testable import Monitoring
@testable import Training

@Suite("A timeline of a few steps of all ranks")
struct TraceTests {
  private struct Event: Decodable {
    struct Arguments: Decodable { var name: String? }
    var name, ph: String
    var cat: String?
    var ts, dur: Double?
    var pid, tid: Int
    var args: Arguments?

    var end: Double { (ts ?? 0) + (dur ?? 0) }
    func lies(in other: Event) -> Bool { (ts ?? 0) >= (other.ts ?? 0) - 0.01 && end <= other.end + 0.01 }
  }
  private struct File: Decodable { var traceEvents: [Event] }

  private func read(_ path: String) throws -> [Event] {
    try JSONDecoder().decode(File.self, from: Data(contentsOf: URL(fileURLWithPath: path))).traceEvents
  }

  @Test("Every rank's steps, layers, buckets and waits, in one file, nested as they happened", arguments: [1, 2])
  func content(ranks: Int) async throws {
    let run = try MNISTRun()
    let path = run.folder["trace.json"]
    let result = try await run.run(
      ["--steps", "9", "--trace", path, "--trace-steps", "4:6", "--evaluate-every", "0"], ranks: ranks)
    #expect(result.exitCode == 0, "\(result)")
    #expect(result.standardOutput.contains("the timeline of steps 4:6 is in \(path)"), "\(result)")
    let events = try read(path)
    #expect(Set(events.map(\.pid)) == Set(0..<ranks))
    for rank in 0..<ranks {
      let own = events.filter { $0.pid == rank && $0.tid == 0 }
      #expect(
        own.contains { $0.name == "process_name" && $0.args?.name?.hasPrefix("rank \(rank) on ") == true })
      let steps = own.filter { $0.cat == "step" }
      #expect(steps.map(\.name) == ["step 4", "step 5", "step 6"])
      for (step, next) in zip(steps, steps.dropFirst()) { #expect(step.end <= (next.ts ?? 0) + 0.01) }
      for step in steps {
        let within = own.filter { $0.ph == "X" && $0.cat != "step" && $0.lies(in: step) }
        for name in ["data", "forward", "backward", "update bucket 0", "update bucket 1", "finish"] {
          #expect(within.filter { $0.name == name }.count == 1, "\(name) of \(step.name)")
        }
        // Every layer's operations, inside of the pass they belong to.
        for (pass, marks) in [("forward", ["conv1", "conv2", "fc1", "fc2"]), ("backward", ["fc2", "fc1", "conv2"])] {
          let span = try #require(within.first { $0.name == pass })
          let operations = within.filter { $0.cat == "operation" && $0.lies(in: span) }
          for layer in marks {
            #expect(operations.contains { $0.name.contains(layer) }, "\(layer) in \(pass): \(operations.map(\.name))")
          }
          // They follow each other and fill the pass.
          for (a, b) in zip(operations, operations.dropFirst()) { #expect(a.end <= (b.ts ?? 0) + 0.01) }
          let sum = operations.compactMap(\.dur).reduce(0, +)
          #expect(sum > 0.8 * (span.dur ?? 0), "\(pass): \(sum) of \(span.dur ?? 0)")
        }
        let phases = within.filter {
          ["compute", "data", "update", "waiting", "communication", "other"].contains($0.cat ?? "")
        }
        let covered = phases.compactMap(\.dur).reduce(0, +)
        #expect(covered <= (step.dur ?? 0) * 1.001 && covered > 0.95 * (step.dur ?? 0), "\(covered) of \(step)")
        let announced = own.filter { $0.ph == "i" && $0.lies(in: step) }
        // Of those that are announced together, the last: fc1's parameters fill the buckets 0 to 3.
        #expect(announced.map(\.name) == ["bucket 3 announced", "bucket 4 announced"])
        let backward = try #require(within.first { $0.name == "backward" })
        #expect(announced.allSatisfy { ($0.ts ?? 0) <= backward.end + 0.01 })
      }
    }
    // One clock: no rank begins a step before the other has ended the one before it.
    if ranks == 2 {
      func step(_ rank: Int, _ name: String) throws -> Event {
        try #require(events.first { $0.pid == rank && $0.name == name })
      }
      for (earlier, later) in [("step 4", "step 5"), ("step 5", "step 6")] {
        for (a, b) in [(0, 1), (1, 0)] {
          let update = try #require(
            events.filter { $0.pid == a && $0.name == "update bucket 4" && $0.lies(in: (try? step(a, earlier)) ?? $0) }
              .first)
          #expect(try (step(b, later).ts ?? 0) >= (update.ts ?? 0))
        }
      }
    }
  }

  @Test("Without steps given, ten after the first ten, or the last ten there are")
  func defaults() async throws {
    let run = try MNISTRun()
    let path = run.folder["trace.json"]
    let result = try await run.run(["--steps", "6", "--trace", path, "--evaluate-every", "0"], ranks: 1)
    #expect(result.exitCode == 0, "\(result)")
    #expect(try read(path).filter { $0.cat == "step" }.map(\.name) == (1...6).map { "step \($0)" })
  }

  @Test(
    "Steps and files that cannot be are refused before anything is done",
    arguments: [
      (["--trace", "t.json", "--trace-steps", "90:99"], ["--trace-steps 90:99", "steps 1 to 5"]),
      (["--trace", "/nowhere/t.json"], ["--trace /nowhere/t.json", "cannot be written"]),
      (["--trace-steps", "1:2"], ["--trace-steps", "--trace FILE"]),
      (["--trace", "t.json", "--trace-steps", "3:2"], ["--trace-steps", "3:2"]),
      (["--trace", "t.json", "--trace-steps", "0:2"], ["--trace-steps", "0:2"]),
      (["--trace", "t.json", "--trace-steps", "1:5000"], ["--trace-steps", "1:5000"]),
    ])
  func refusals(flags: [String], words: [String]) async throws {
    let run = try MNISTRun()
    let result = try await run.run(["--steps", "5"] + flags)
    #expect(result.exitCode != 0 && result.exitCode < 128, "\(result)")
    #expect(words.allSatisfy { result.standardError.contains($0) }, "\(result)")
  }

  @Test("Events become spans until the next of their kind; text in names is escaped")
  func spans() throws {
    let text = TraceText(rank: 3, host: "a\"b", origin: 1000, labels: ["conv \"1\" forward"])
    let lines =
      text.header(hasCommunication: true)
      + text.lines(
        [
          TraceEvent(time: 1000, kind: .step, phase: .reporting, index: 7),
          TraceEvent(time: 2000, kind: .phase, phase: .forward, index: 0),
          TraceEvent(time: 3000, kind: .operation, phase: .forward, index: 0),
          TraceEvent(time: 5000, kind: .phase, phase: .updating, index: 2),
          TraceEvent(time: 5500, kind: .announcement, phase: .updating, index: 1),
          TraceEvent(time: 9000, kind: .phase, phase: .reporting, index: 0),
        ], thread: 0)
    let events = try JSONDecoder().decode([Event].self, from: Data("[\(lines.joined(separator: ","))]".utf8))
    #expect(events.filter { $0.ph == "M" }.count == 4)
    #expect(events.first?.args?.name == "rank 3 on a\"b")
    let spans = events.filter { $0.ph == "X" }.map { "\($0.name) \($0.ts ?? -1) \($0.dur ?? -1)" }.sorted()
    #expect(
      spans == ["conv \"1\" forward 2.0 2.0", "forward 1.0 3.0", "step 7 0.0 8.0", "update bucket 2 4.0 4.0"],
      "\(spans)")
  }

  @Test("What finds no room is counted, and does no harm")
  func full() {
    let buffer = TraceBuffer(steps: 1...2, capacity: 2)
    for time in 0..<5 { buffer.append(TraceEvent(time: time, kind: .step, phase: .data, index: 1)) }
    #expect(buffer.kept.map(\.time) == [0, 1] && buffer.lostCount == 3)
  }
}

import Foundation
import TestSupport
import Testing

/// The watchdog, the doctor and timelines across hosts.
@Suite(.serialized, .enabled(if: Cluster.isAvailable, Cluster.skipped)) struct WatchdogHostTests {
  let folder: TemporaryFolder

  init() throws {
    folder = try TemporaryFolder()
    try TinyDigits.write(to: folder["data"])
  }

  var flags: [String] {
    [
      "--data", folder["data"], "--output", folder["runs"], "--batch-size", "8", "--log-every", "1", "--evaluate-every",
      "0",
    ]
  }

  func start(_ shape: String, name: String, _ flags: [String]) async throws -> Job {
    try await Cluster.with(
      shape, name: name, ["bash", Cluster.script, "run", "--", MPIRunner.locate("mnist")] + self.flags + flags)
  }

  /// Lines of the job's output that hold all of `words`: mpirun hands on what ranks write to standard error.
  func lines(_ result: JobResult, _ words: [String]) -> [Substring] {
    (result.standardError + result.standardOutput).split(separator: "\n").filter { line in
      words.allSatisfy { line.contains($0) }
    }
  }

  @Test(
    "A rank stopped on another host, one that is a monitor or not, is named, with its host and who waits for it",
    arguments: [("2x2", 3), ("2x2", 0), ("3x1", 1)])
  func stoppedRank(shape: String, victim: Int) async throws {
    let name = Cluster.newName()
    let job = try await start(shape, name: name, ["--steps", "1000000", "--stall-timeout", "12"])
    // Long enough for hosts to have told each other where their ranks are.
    #expect(await job.waitForOutput("step 40/", within: .seconds(60)))
    let process = try #require(Cluster.process(ofRank: victim, on: name))
    #expect(kill(process, SIGSTOP) == 0)
    let begin = ContinuousClock.now
    #expect(await job.waitForOutput("stalled: ", within: .seconds(40)))
    #expect(ContinuousClock.now - begin < .seconds(12))
    let result = await job.result()
    #expect(result.exitCode != 0 && !result.timedOut && result.survivors == 0, "\(result)")
    let host = "node\(shape == "2x2" ? victim / 2 + 1 : victim + 1)"
    #expect(lines(result, ["stalled: ", "rank \(victim) (pid ", "on \(host))", "step "]).count == 1, "\(result)")
    let waiting = lines(result, ["waits for rank \(victim):"])
    #expect(waiting.count >= 1, "\(result)")
    #expect(lines(result, ["exit code 76"]).count >= 1, "\(result)")
  }

  @Test("A host whose cable is pulled is named, and the job ends on both sides")
  func cutHost() async throws {
    let name = Cluster.newName()
    let job = try await start("2x1", name: name, ["--steps", "1000000", "--stall-timeout", "8"])
    #expect(await job.waitForOutput("step 4/", within: .seconds(60)))
    let begin = ContinuousClock.now
    #expect(try Cluster.run(["cut", "node2"], name: name).code == 0)
    #expect(await job.waitForOutput("stalled: ", within: .seconds(40)))
    #expect(ContinuousClock.now - begin < .seconds(9))
    let result = await job.result()
    #expect(result.exitCode != 0 && !result.timedOut && result.survivors == 0, "\(result)")
    #expect(ContinuousClock.now - begin < .seconds(40), "\(result)")
    #expect(lines(result, ["host node2 has not answered node1", "rank 1 (pid "]).count == 1, "\(result)")
    #expect(lines(result, ["rank 0 (pid ", "waits for rank 1: "]).count == 1, "\(result)")
  }

  @Test("A timeline of two hosts: both threads of all ranks, on one clock, in the order of what they exchanged")
  func trace() async throws {
    let path = folder["trace.json"]
    let result = try await start(
      "2x1", name: Cluster.newName(), ["--steps", "14", "--trace", path, "--trace-steps", "8:10"]
    ).result()
    #expect(result.exitCode == 0, "\(result)")
    let file = try JSONSerialization.jsonObject(with: Data(contentsOf: URL(fileURLWithPath: path))) as? [String: Any]
    let events = try #require(file?["traceEvents"] as? [[String: Any]])
    func times(_ rank: Int, _ thread: Int, _ name: String) -> [Double] {
      events.filter { $0["pid"] as? Int == rank && $0["tid"] as? Int == thread && $0["name"] as? String == name }
        .compactMap { $0["ts"] as? Double }
    }
    let names = events.filter { $0["name"] as? String == "process_name" }
      .compactMap { ($0["args"] as? [String: Any])?["name"] as? String }
    #expect(names.sorted() == ["rank 0 on node1", "rank 1 on node2"])
    for rank in 0..<2 {
      for name in ["backward", "bucket 0 announced"] { #expect(times(rank, 0, name).count == 3, "\(name)") }
      // A forward pass that waits for parameters is shown in pieces.
      #expect(times(rank, 0, "forward").count >= 3)
      for name in ["update bucket 0", "update bucket 1"] { #expect(times(rank, 1, name).count == 3, "\(name)") }
      // A rank updates a bucket only when both have announced it. Clocks are set by messages, which busy cores delay.
      for bucket in 0..<2 {
        for (update, announced) in zip(
          times(rank, 1, "update bucket \(bucket)"), times(1 - rank, 0, "bucket \(bucket) announced"))
        {
          #expect(update > announced - 5000, "bucket \(bucket) of rank \(rank)")
        }
      }
    }
  }

  @Test("The doctor has a page for each host")
  func doctor() async throws {
    let json = folder["doctor.json"]
    let result = try await Cluster.with(
      "2x2", ["bash", Cluster.script, "run", "--", MPIRunner.locate("freewheel"), "doctor", "--json", json]
    ).result()
    #expect(result.exitCode == 0, "\(result)")
    let report = try JSONSerialization.jsonObject(with: Data(contentsOf: URL(fileURLWithPath: json))) as? [String: Any]
    let hosts = try #require(report?["hosts"] as? [[[String: Any]]])
    #expect(hosts.map { $0.compactMap { $0["rank"] as? Int } } == [[0, 1], [2, 3]])
    #expect(hosts.compactMap { $0.first?["host"] as? String } == ["node1", "node2"])
    for host in ["node1", "node2"] {
      #expect(result.standardOutput.split(separator: "\n").contains { $0 == host }, "\(result)")
    }
  }
}

import Foundation
import TestSupport
import Testing

/// Training on several hosts: on any number of them the same bytes, and what happens when one of them is lost.
@Suite(.serialized, .enabled(if: Cluster.isAvailable, Cluster.skipped)) struct HostTests {
  let folder: TemporaryFolder

  init() throws {
    folder = try TemporaryFolder()
    try TinyDigits.write(to: folder["data"])
  }

  /// Flags of a short run that saves every ten steps.
  func flags(_ output: String, steps: Int) -> [String] {
    [
      "--data", folder["data"], "--output", folder[output], "--batch-size", "8", "--log-every", "1", "--evaluate-every",
      "0", "--checkpoint-every", "10", "--steps", "\(steps)",
    ]
  }

  /// The only run folder below an output folder.
  func run(_ output: String) throws -> String {
    let runs = try FileManager.default.contentsOfDirectory(atPath: folder[output])
    try #require(runs.count == 1, "\(runs)")
    return folder[output] + "/" + runs[0]
  }

  func model(_ output: String) throws -> Data {
    try Data(contentsOf: URL(fileURLWithPath: run(output) + "/checkpoints/latest/model.safetensors"))
  }

  /// Host names of all ranks, for each start of a run.
  func hosts(_ output: String) throws -> [[String]] {
    let text = try Data(contentsOf: URL(fileURLWithPath: run(output) + "/run.json"))
    let document = try #require(try JSONSerialization.jsonObject(with: text) as? [String: Any])
    return try #require(document["sessions"] as? [[String: Any]]).map { ($0["hosts"] as? [String]) ?? [] }
  }

  @Test("MNIST gives the same bytes on 1 to 4 hosts, and with lanes on 1, 2 and 4 ranks")
  func shapes() async throws {
    let mnist = try MPIRunner.locate("mnist")
    var models: [String: Data] = [:]
    for (shape, names) in [
      ("2x2", ["node1", "node1", "node2", "node2"]), ("4x1", ["node1", "node2", "node3", "node4"]),
      ("1x4", ["node1", "node1", "node1", "node1"]), ("2,1,1", ["node1", "node1", "node2", "node3"]),
      ("2x1", ["node1", "node2"]), ("1x2", ["node1", "node1"]), ("1x1", ["node1"]),
    ] {
      let result = try await Cluster.with(
        shape,
        // As launch/run does: with other numbers of threads oneDNN adds up in another order.
        ["bash", Cluster.script, "run", "-x", "OMP_NUM_THREADS=1", "--", mnist]
          + flags(shape, steps: 12) + ["--lanes", "4", "--quiet"]
      ).result()
      #expect(result.exitCode == 0 && !result.timedOut, "\(result)")
      #expect(try hosts(shape) == [names])
      models[shape] = try model(shape)
    }
    for (shape, model) in models { #expect(model == models["1x4"], "\(shape) is not 1x4") }
    #expect(models.count == 7)
  }

  /// Trains on two hosts with `launch/run`, loses the second by a command of the cluster, and expects the run to end on
  /// the first with the bytes of a run that lost nothing.
  func loseHost(by command: String) async throws -> JobResult {
    let whole = try await MPIRunner.run("mnist", flags("whole", steps: 80) + ["--lanes", "2"], ranks: 2)
    #expect(whole.exitCode == 0, "\(whole)")

    let package = try ScriptPackage()
    let program = package.root.appendingPathComponent(".build/release/mnist").path
    try FileManager.default.createSymbolicLink(atPath: program, withDestinationPath: MPIRunner.locate("mnist"))
    let name = Cluster.newName()
    let job = try await Cluster.with(
      "2x1", name: name, environment: ["FREEWHEEL_MPIRUN_PATIENCE": "5"],
      [
        "bash", Cluster.script, "exec", "node1", package.root.appendingPathComponent("launch/run").path, "mnist",
        "--no-build", "--hosts", "node1:1,node2:1", "--restarts", "3", "--restart-delay", "0", "--fewer-hosts", "--",
      ] + flags("lost", steps: 80) + ["--lanes", "2", "--stall-timeout", "4"])
    #expect(await job.waitForOutput("step 12/", within: .seconds(60)))
    #expect(try Cluster.run([command, "node2"], name: name).code == 0)
    let result = await job.result()
    #expect(result.exitCode == 0 && !result.timedOut, "\(result)")
    #expect(result.standardError.contains("run: no answer from: node2; going on with 1 ranks on: node1"), "\(result)")
    let hosts = try hosts("lost")
    #expect(hosts.first == ["node1", "node2"] && hosts.last == ["node1"], "\(hosts)")
    #expect(try model("lost") == model("whole"))
    return result
  }

  @Test("A host that is switched off: the job goes on without it, to the same bytes")
  func hostSwitchedOff() async throws {
    _ = try await loseHost(by: "kill")
  }

  @Test("A host whose cable is cut: the watchdog names it, and the job goes on without it, to the same bytes")
  func cableCut() async throws {
    let result = try await loseHost(by: "cut")
    #expect(result.standardError.contains("stalled: host node2 has not answered node1 for "), "\(result)")
    #expect(result.standardError.contains("rank 1 (pid "), "\(result)")
  }

  @Test("A rank on another host that is stopped by SIGSTOP: the watchdog names it within the time set")
  func stoppedRank() async throws {
    let name = Cluster.newName()
    let mnist = try MPIRunner.locate("mnist")
    let job = try await Cluster.with(
      "1,2", name: name,
      ["bash", Cluster.script, "run", "--", mnist] + flags("stopped", steps: 1_000_000) + ["--stall-timeout", "6"])
    #expect(await job.waitForOutput("step 3/", within: .seconds(60)))
    let victim = try #require(Cluster.process(ofRank: 2, on: name))
    #expect(kill(victim, SIGSTOP) == 0)
    let start = ContinuousClock.now
    #expect(await job.waitForOutput("stalled: ", within: .seconds(30)))
    #expect(ContinuousClock.now - start < .seconds(10))
    let result = await job.result()
    #expect(result.exitCode == 76 && !result.timedOut, "\(result)")
    let lines = result.standardError.split(separator: "\n")
    #expect(lines.contains { $0.contains("stalled: rank 2 (pid ") && $0.contains(" on node2) has not answered") })
    #expect(lines.contains { $0.contains("rank 0 (pid ") && $0.contains("waits for rank 2") }, "\(result)")
  }

  @Test("A slow link is as slow as was said")
  func slowLink() async throws {
    let mnist = try MPIRunner.locate("mnist")
    let result = try await Cluster.with(
      "2x1", options: ["--rate", "200mbit"],
      [
        "bash", "-c", "set -e; cluster=$0; $cluster bytes; $cluster run -- \"$@\"; $cluster bytes", Cluster.script,
        mnist,
      ] + flags("slow", steps: 12) + ["--quiet", "--bucket-size", "1M"]
    ).result()
    #expect(result.exitCode == 0, "\(result)")
    // name, sent, received: before and after.
    let counts = result.standardOutput.split(separator: "\n").filter { $0.hasPrefix("node1 ") }
      .map { $0.split(separator: " ").compactMap { Int($0) } }
    try #require(counts.count == 2 && counts.allSatisfy { $0.count == 2 }, "\(result)")
    let sent = counts[1][0] - counts[0][0]
    // Half of the gradients and half of the parameters in each of twelve steps, 1.2 million of each in float32.
    #expect(sent > 12 * 4_799_528 && sent < 16 * 4_799_528, "\(sent)")
    let text = try String(contentsOfFile: run("slow") + "/metrics.jsonl", encoding: .utf8)
    let summary = try #require(text.split(separator: "\n").last { $0.contains("\"summary\"") })
    let metrics = try #require(try JSONSerialization.jsonObject(with: Data(summary.utf8)) as? [String: Any])
    // The same bytes come in at the same time, so a step cannot be faster than they pass in one direction; but what the
    // last one exchanges may come in after it.
    let least = Double(4_799_528) * 8 / 200e6 * 1e3 * 11 / 12
    #expect(try #require(metrics["step_milliseconds"] as? Double) > least, "\(metrics)")
  }

  /// Bytes that the first of two hosts sends in eight steps, start and end of a run left out: what twelve steps take
  /// more than four.
  func bytesOfEightSteps(wire: String) async throws -> Int {
    let mnist = try MPIRunner.locate("mnist")
    func bytes(steps: Int) async throws -> Int {
      let output = "\(wire)-\(steps)"
      let result = try await Cluster.with(
        "2x1",
        [
          "bash", "-c", "set -e; cluster=$0; $cluster run -- \"$@\"; $cluster bytes node1", Cluster.script, mnist,
        ] + flags(output, steps: steps)
          + ["--checkpoint-every", "0", "--quiet", "--wire", wire, "--bucket-size", "1M"]
      ).result()
      #expect(result.exitCode == 0, "\(result)")
      let counts = result.standardOutput.split(separator: "\n").last?.split(separator: " ").compactMap { Int($0) }
      return try #require(counts?.first, "\(result)")
    }
    let few = try await bytes(steps: 4)
    return try await bytes(steps: 12) - few
  }

  @Test("bfloat16 on the wire halves the bytes, counted on the interface")
  func wire() async throws {
    let float32 = Double(try await bytesOfEightSteps(wire: "float32"))
    let bfloat16 = Double(try await bytesOfEightSteps(wire: "bfloat16"))
    // Half of the gradients and half of the parameters of 1.2 million, in each of eight steps.
    #expect((0.98...1.1).contains(float32 / (8 * 4_799_528)), "\(float32)")
    #expect((0.49...0.53).contains(bfloat16 / float32), "\(bfloat16) of \(float32)")
  }
}

/// The kill test in small: ranks on this machine, three kills.
@Suite struct KillTests {
  @Test("Ranks that are killed at random moments cost no bit of the result")
  func kills() async throws {
    let folder = try TemporaryFolder()
    try TinyDigits.write(to: folder["data"])
    let script = packageRoot.appendingPathComponent("Tests/Cluster/kill-test").path
    let job = try await Job.start(
      executable: "/usr/bin/env",
      arguments: [
        "bash", script, "--kills", "3", "-n", "2", "--steps", "90", "--program", try MPIRunner.locate("mnist"), "--",
        "--data", folder["data"],
      ], timeLimit: .seconds(180))
    let result = await job.result()
    #expect(result.exitCode == 0 && result.survivors == 0, "\(result)")
    #expect(result.standardOutput.contains("after 3 kills the same bytes"), "\(result)")
  }
}

import Foundation
import TestSupport
import Testing

/// Training on ranks of this machine that pretend to be on several nodes.
@Suite("Training between nodes", .serialized)
struct NodesTests {
  /// A run of 20 steps; the rate limit of evaluations and checkpoints is that of ``MNISTRun/flags``.
  private func train(
    _ run: MNISTRun, _ output: String, nodes: String, _ flags: [String] = [], steps: Int = 20
  ) async throws -> JobResult {
    let result = try await MPIRunner.run(
      "mnist", run.flags + ["--steps", "\(steps)", "--output", run.folder[output]] + flags,
      ranks: nodes.split(separator: ",").count, environment: ["FREEWHEEL_PRETENDED_NODES": nodes],
      directory: run.folder.path, timeLimit: .seconds(120))
    #expect(result.exitCode == 0, "\(nodes) \(flags): \(result)")
    return result
  }

  private func model(_ run: MNISTRun, _ output: String) throws -> Data {
    try run.model(try #require(try run.runFolders(output).first))
  }

  /// What the sessions of a run tell of the exchange.
  private func exchanges(_ run: MNISTRun, _ output: String) throws -> [NSDictionary] {
    let folder = try #require(try run.runFolders(output).first)
    let url = URL(fileURLWithPath: folder + "/run.json")
    let text = try #require(try JSONSerialization.jsonObject(with: Data(contentsOf: url)) as? NSDictionary)
    let description = text["description"] as? NSDictionary ?? text
    let sessions = try #require(description["sessions"] as? [NSDictionary])
    return try sessions.map { try #require($0["exchange"] as? NSDictionary, "\(text)") }
  }

  @Test("The same bytes on one node and several, however they are reached, also with clipping")
  func sameBytes() async throws {
    let run = try MNISTRun()
    let clip = ["--clip-norm", "0.5"]
    _ = try await train(run, "one", nodes: "0,0,0,0", clip)
    let one = try model(run, "one")
    for (nodes, flags) in [
      ("0,0,1,1", []), ("0,1,0,1", ["--overlap", "off"]), ("0,1,2,3", ["--inter-node", "direct"]),
      ("0,1,2,3", ["--inter-node", "halving"]),
    ] {
      let output = (nodes + flags.joined()).replacingOccurrences(of: ",", with: "-")
      let result = try await train(run, output, nodes: nodes, clip + flags)
      #expect(result.standardOutput.contains("exchange two-level"), "\(result)")
      #expect(try model(run, output) == one, "\(nodes) \(flags): other bytes")
    }
  }

  @Test("bfloat16 between nodes: a resumed run repeats what was chosen, and has the bits of one never stopped")
  func resume() async throws {
    let run = try MNISTRun()
    let flags = ["--wire", "bfloat16"]
    let first = try await train(run, "parts", nodes: "0,1,2,3", flags, steps: 10)
    #expect(first.standardOutput.contains("bfloat16 between nodes"), "\(first)")
    #expect(first.standardOutput.contains("as measured"), "\(first)")
    let resumed = try await train(run, "parts", nodes: "0,1,2,3", flags + ["--resume", "auto"], steps: 20)
    #expect(!resumed.standardOutput.contains("as measured"), "\(resumed)")
    let chosen = try exchanges(run, "parts")
    // What is measured may differ from run to run, and with bfloat16 both choices show in the bits.
    let way = try #require(chosen[0]["algorithm"] as? String)
    let size = try #require(chosen[0]["bucketCount"] as? Int) * MemoryLayout<Float>.stride
    _ = try await train(
      run, "whole", nodes: "0,1,2,3", flags + ["--inter-node", way, "--bucket-size", String(size)], steps: 20)
    #expect(try model(run, "whole") == model(run, "parts"))
    #expect(chosen.count == 2 && chosen[0] == chosen[1], "\(chosen)")
    #expect(chosen[0]["nodes"] as? Int == 4, "\(chosen)")

    // Another wire is another run.
    let other = try await MPIRunner.run(
      "mnist", run.flags + ["--steps", "30", "--output", run.folder["parts"], "--resume", "auto"], ranks: 4,
      environment: ["FREEWHEEL_PRETENDED_NODES": "0,1,2,3"], directory: run.folder.path, timeLimit: .seconds(120))
    #expect(other.exitCode != 0 && other.standardError.contains("wire"), "\(other)")
  }

  @Test("What is given is taken: the size of buckets and the way between nodes")
  func given() async throws {
    let run = try MNISTRun()
    let result = try await train(
      run, "given", nodes: "0,1,2,3", ["--bucket-size", "64K", "--inter-node", "halving"], steps: 2)
    #expect(result.standardOutput.contains("buckets of 64 KiB, halving between 4 nodes\n"), "\(result)")
    let chosen = try #require(try exchanges(run, "given").first)
    #expect(chosen["bucketCount"] as? Int == 16_384 && chosen["algorithm"] as? String == "halving", "\(chosen)")
  }

  @Test("Unequal nodes train in the flat exchange, and a note says why")
  func unequal() async throws {
    let run = try MNISTRun()
    let result = try await train(run, "unequal", nodes: "0,0,1", steps: 4)
    #expect(result.standardOutput.contains("using the flat exchange: nodes hold 1 to 2 ranks"), "\(result)")
  }

  @Test(
    "Impossible values are refused before work starts",
    arguments: [
      (["--bucket-size", "12"], "--bucket-size"), (["--bucket-size", "1X"], "--bucket-size"),
      (["--wire", "float16"], "--wire"), (["--inter-node", "tree"], "--inter-node"),
    ])
  func refused(flags: [String], name: String) async throws {
    let result = try await MPIRunner.runAlone("mnist", flags)
    #expect(result.exitCode == 64 && result.standardError.contains(name), "\(result)")
  }

  @Test("Recursive halving over three nodes is refused in words")
  func halvingOverThree() async throws {
    let run = try MNISTRun()
    let result = try await MPIRunner.run(
      "mnist", run.flags + ["--steps", "2", "--inter-node", "halving"], ranks: 3,
      environment: ["FREEWHEEL_PRETENDED_NODES": "0,1,2"], directory: run.folder.path, timeLimit: .seconds(120))
    #expect(result.exitCode != 0 && result.standardError.contains("recursive halving takes 2, 4, 8"), "\(result)")
  }
}

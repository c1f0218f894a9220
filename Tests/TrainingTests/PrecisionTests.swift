import Foundation
import Neural
import TestSupport
import Testing

@Suite("Precision and threads", .serialized)
struct PrecisionTests {
  /// Has oneDNN take the processor for one without bfloat16 instructions; its layouts of weights stay the same.
  private static let withoutInstructions = "DNNL_MAX_CPU_ISA=AVX512_CORE"

  /// Runs on two ranks, of which the second has no bfloat16 instructions.
  private func runOnUnlikeRanks(_ run: MNISTRun, _ flags: [String]) async throws -> JobResult {
    // Hosts that compute with other instructions are refused before, unless that is allowed.
    let all = run.flags + ["--steps", "3", "--precision", "bfloat16", "--mixed-hosts", "allow"] + flags
    let program = try MPIRunner.locate("mnist")
    return try await MPIRunner.run(
      "mnist", all + [":", "-n", "1", "-x", Self.withoutInstructions, program] + all, ranks: 1,
      directory: run.folder.path)
  }

  /// What the newest checkpoint says of the run's settings.
  private func setting(_ name: String, of folder: String) throws -> String? {
    let url = URL(fileURLWithPath: folder + "/checkpoints/latest/state.json")
    let document = try #require(try JSONSerialization.jsonObject(with: Data(contentsOf: url)) as? NSDictionary)
    let settings = (document["state"] as? NSDictionary)?["settings"] as? NSDictionary
    return (settings?["values"] as? NSDictionary)?[name] as? String
  }

  @Test("One rank without bfloat16 instructions: all go on in float32 and say so, or all refuse, as asked")
  func unlikeRanks() async throws {
    let run = try MNISTRun()
    let result = try await runOnUnlikeRanks(run, [])
    #expect(result.exitCode == 0, "\(result)")
    let notes = result.standardOutput.split(separator: "\n").filter { $0.contains("float32 on all ranks") }
    let speaker = Precision.hasBFloat16Instructions ? "rank 1" : "rank 0"
    #expect(notes.count == 1 && notes.allSatisfy { $0.contains(speaker) }, "\(result)")
    let folder = try #require(try run.runFolders().first)
    #expect(try setting("precision", of: folder) == nil)

    let refused = try await runOnUnlikeRanks(
      run, ["--without-bfloat16", "refuse", "--output", run.folder["refused"]])
    #expect(refused.exitCode == 65 && !refused.timedOut, "\(refused)")
    let lines = refused.standardError.split(separator: "\n").filter { $0.contains("has no bfloat16 instructions") }
    #expect(lines.count == 1, "\(refused)")
    #expect(!FileManager.default.fileExists(atPath: run.folder["refused"]))
  }

  @Test(
    "bfloat16 trains, is part of the settings, and a run in it is not continued in float32",
    .enabled(if: Precision.hasBFloat16Instructions, "this processor has no bfloat16 instructions"))
  func bfloat16() async throws {
    let run = try MNISTRun()
    let result = try await run.run(["--steps", "20", "--precision", "bfloat16", "--learning-rate", "0.01"])
    #expect(result.exitCode == 0 && !result.standardOutput.contains("note:"), "\(result)")
    let folder = try #require(try run.runFolders().first)
    let losses = try run.metrics(folder).compactMap { $0["event"] as? String == "step" ? $0["loss"] as? Double : nil }
    #expect(try #require(losses.last) < 0.8 * (try #require(losses.first)), "\(losses)")
    #expect(try setting("precision", of: folder) == "bfloat16")
    let peak = try #require(try run.metrics(folder).last?["peak_memory_bytes"] as? Int)
    #expect(peak > 1 << 22 && peak < 1 << 40)
    let refused = try await run.run(["--steps", "30", "--learning-rate", "0.01", "--resume", folder])
    #expect(
      refused.exitCode != 0 && refused.standardError.contains("precision 'bfloat16', this run has 'float32'"),
      "\(refused)")
  }

  @Test("The number of threads is the process's own, is noted, and may change when a run continues")
  func threads() async throws {
    let run = try MNISTRun()
    let first = try await run.run(["--steps", "2", "--threads-per-rank", "2", "--checkpoint-every", "2"], ranks: 1)
    #expect(first.exitCode == 0, "\(first)")
    let folder = try #require(try run.runFolders().first)
    #expect(try setting("threads-per-rank", of: folder) == "2")
    let resumed = try await run.run(["--steps", "4", "--resume", folder], ranks: 1)
    #expect(resumed.exitCode == 0 && resumed.standardOutput.contains("not bit for bit"), "\(resumed)")
    let many = try await run.run(
      ["--steps", "1", "--threads-per-rank", "4096", "--output", run.folder["many"], "--batch-size", "1000"], ranks: 1)
    // Refused for its batch, after the threads were set and before any are started.
    #expect(many.exitCode == 65 && !many.timedOut && many.standardError.contains("1000"), "\(many)")
  }
}

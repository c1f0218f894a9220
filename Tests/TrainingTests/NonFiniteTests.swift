import Checkpoints
import Foundation
import SystemPackage
import TestSupport
import Testing

@Suite("Losses and gradients that are not finite", .serialized)
struct NonFiniteTests {
  /// Steps so long that parameters leave the range of numbers.
  private let diverging = ["--optimizer", "sgd", "--momentum", "0", "--learning-rate", "1e18", "--steps", "40"]

  /// No checkpoint of a run holds anything but numbers.
  private func expectGoodCheckpoints(_ run: String) throws {
    let folder = run + "/checkpoints"
    let names = try FileManager.default.contentsOfDirectory(atPath: folder).filter { $0.hasPrefix("step-") }
    for name in names {
      let file = try SafetensorsFile(FilePath("\(folder)/\(name)/model.safetensors"))
      for tensor in file.tensors {
        #expect(try file.floats(tensor.name).allSatisfy(\.isFinite), "\(name) holds \(tensor.name) with other things")
      }
    }
  }

  @Test("A run that diverges ends in words, and saves nothing of it", arguments: ["shared", "flat", "allreduce"])
  func diverges(exchange: String) async throws {
    let run = try MNISTRun()
    let result = try await run.run(diverging + ["--exchange", exchange, "--checkpoint-every", "1"])
    #expect(result.exitCode != 0 && result.exitCode < 128 && !result.timedOut, "\(result)")
    let lines = result.standardError.split(separator: "\n").filter { $0.contains("training diverged") }
    #expect(lines.count == 1, "\(result)")
    let folder = try #require(try run.runFolders().first)
    try expectGoodCheckpoints(folder)
    #expect(try run.metrics(folder).allSatisfy { $0["event"] as? String != "summary" })
  }

  @Test("An infinite example on one rank ends the run in the same step on all", arguments: [(1, 2), (2, 2), (3, 0)])
  func stops(ranks: Int, lanes: Int) async throws {
    let folder = try TemporaryFolder()
    let result = try await MPIRunner.run(
      "lanes-probe", [folder.path, "\(lanes)", "stopping"], ranks: ranks, timeLimit: .seconds(120))
    #expect(result.exitCode == 0 && !result.timedOut && result.standardOutput.contains("ok: 2 cases"), "\(result)")
  }

  @Test("Skips are counted and reported, and too many in a row end the run; parameters stay as they were")
  func limit() async throws {
    let run = try MNISTRun()
    let flags = ["--on-nonfinite", "skip", "--nonfinite-limit", "3", "--checkpoint-every", "1"]
    let result = try await run.run(diverging + flags)
    #expect(result.exitCode != 0 && result.exitCode < 128 && !result.timedOut, "\(result)")
    let lines = result.standardError.split(separator: "\n").filter { $0.contains("3 steps in a row were skipped") }
    #expect(lines.count == 1, "\(result)")
    let folder = try #require(try run.runFolders().first)
    try expectGoodCheckpoints(folder)
    let skips = try run.metrics(folder).filter { $0["event"] as? String == "skipped" }
    #expect(skips.compactMap { $0["skipped_in_a_row"] as? Int } == [1, 2, 3])
    #expect(skips.allSatisfy { ($0["reason"] as? String)?.contains(" is ") == true }, "\(skips)")
    #expect(result.standardOutput.contains("was skipped"), "\(result)")
    // The run can be gone on with, and the count of skips with it: two were saved with the last checkpoint.
    let resumed = try await run.run(diverging + flags + ["--resume", folder])
    #expect(resumed.exitCode != 0 && resumed.standardError.contains("3 steps in a row were skipped"), "\(resumed)")
  }

  @Test("A limit below one is refused")
  func badLimit() async throws {
    let run = try MNISTRun()
    let result = try await run.run(["--steps", "1", "--nonfinite-limit", "0"], ranks: 1)
    #expect(result.exitCode != 0 && result.standardError.contains("--nonfinite-limit is 0"), "\(result)")
  }
}

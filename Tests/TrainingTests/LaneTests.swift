import Foundation
import TestSupport
import Testing

/// The runs themselves are in `Tests/Programs/lanes-probe`, which is started on several numbers of ranks here.
@Suite("Lanes: the same bits on any number of ranks", .serialized)
struct LaneTests {
  /// What a run is compared by: files of tensors, and metrics without times.
  private struct Outcome: Equatable {
    var model: Data
    var optimizer: Data
    var metrics: [String]
  }

  /// Runs the probe.
  ///
  /// - Returns: the outcome of each case, by name.
  private func outcomes(
    _ folder: String, lanes: Int, cases: String, ranks: Int, resuming from: String? = nil
  ) async throws -> [String: Outcome] {
    let result = try await MPIRunner.run(
      "lanes-probe", [folder, "\(lanes)", cases] + (from.map { [$0] } ?? []), ranks: ranks, timeLimit: .seconds(200))
    #expect(result.exitCode == 0 && !result.timedOut && result.standardOutput.contains("ok: "), "\(result)")
    var outcomes: [String: Outcome] = [:]
    for name in try FileManager.default.contentsOfDirectory(atPath: folder) {
      let run = try #require(try FileManager.default.contentsOfDirectory(atPath: "\(folder)/\(name)").first)
      let path = "\(folder)/\(name)/\(run)"
      func bytes(_ file: String) throws -> Data {
        try Data(contentsOf: URL(fileURLWithPath: "\(path)/checkpoints/step-00000004/\(file).safetensors"))
      }
      let lines = try String(contentsOfFile: path + "/metrics.jsonl", encoding: .utf8).split(separator: "\n")
      let metrics = try lines.map { line in
        let fields = try #require(try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
        return ["event", "step", "epoch", "loss", "accuracy", "gradient_norm", "learning_rate"]
          .compactMap { key in fields[key].map { "\(key)=\($0)" } }.joined(separator: " ")
      }
      outcomes[name] = Outcome(model: try bytes("model"), optimizer: try bytes("optimizer"), metrics: metrics)
    }
    return outcomes
  }

  private func compare(_ found: [String: Outcome], _ expected: [String: Outcome], _ what: String, resumed: Bool = false)
  {
    #expect(!expected.isEmpty && Set(found.keys) == Set(expected.keys), "\(what): other cases")
    for (name, outcome) in expected {
      #expect(found[name]?.model == outcome.model, "\(what): \(name) has another model.safetensors")
      #expect(found[name]?.optimizer == outcome.optimizer, "\(what): \(name) has another optimizer.safetensors")
      if !resumed { #expect(found[name]?.metrics == outcome.metrics, "\(what): \(name) has other metrics") }
    }
    if resumed {
      // What was reported after step 2; a resumed run has no lines of the steps before.
      for (name, outcome) in found {
        let all = expected[name]?.metrics ?? []
        #expect(outcome.metrics.count > 3, "\(what): \(name) reports too little")
        #expect(
          outcome.metrics.allSatisfy { all.contains($0) }, "\(what): \(name) has other metrics: \(outcome.metrics)")
      }
    }
  }

  @Test(
    """
    Networks in both precisions, accumulation, clipping, rules with global sums, shared and flat exchange: four lanes \
    on 1, 2 and 4 ranks; runs saved on 4 ranks go on on 2 and 1, and one saved on 1 on 4
    """)
  func fourLanes() async throws {
    let folder = try TemporaryFolder()
    let onFour = try await outcomes(folder["four"], lanes: 4, cases: "all", ranks: 4)
    #expect(onFour.count == 15)
    for name in ["skipped", "skipped-flat"] {
      let skips = onFour[name]?.metrics.count { $0.hasPrefix("event=skipped") } ?? 0
      #expect((1...3).contains(skips), "\(name): \(skips) of 4 steps are skipped")
    }
    let onTwo = try await outcomes(folder["two"], lanes: 4, cases: "all", ranks: 2)
    compare(onTwo, onFour, "2 ranks against 4")
    let onOne = try await outcomes(folder["one"], lanes: 4, cases: "all", ranks: 1)
    compare(onOne, onFour, "1 rank against 4")
    for (from, ranks) in [("four", 2), ("four", 1), ("one", 4)] {
      let resumed = try await outcomes(
        folder["\(from)-\(ranks)"], lanes: 4, cases: from == "four" ? "all" : "small", ranks: ranks,
        resuming: folder[from])
      compare(resumed, onFour.filter { resumed[$0.key] != nil }, "\(ranks) ranks after \(from)", resumed: true)
    }
    // Said or not, four ranks have four lanes.
    let unsaid = try await outcomes(folder["unsaid"], lanes: 0, cases: "small", ranks: 4)
    compare(unsaid, onFour.filter { unsaid[$0.key] != nil }, "without --lanes")
  }

  @Test(
    "Numbers of lanes that are no power of two, and several a rank", arguments: [(6, [3, 6]), (8, [1, 2]), (3, [3])])
  func otherNumbers(lanes: Int, ranks: [Int]) async throws {
    let folder = try TemporaryFolder()
    let first = try await outcomes(folder["first"], lanes: lanes, cases: "small", ranks: ranks[0])
    // Three ranks with three lanes are compared with three ranks of which nobody said that they have lanes.
    let (others, otherLanes) = ranks.count > 1 ? (ranks[1], lanes) : (ranks[0], 0)
    let second = try await outcomes(folder["second"], lanes: otherLanes, cases: "small", ranks: others)
    compare(second, first, "\(others) ranks against \(ranks[0])")
  }

  @Test("Lanes that cannot be divided over the ranks, pooled statistics of several lanes, and bad numbers are refused")
  func refusals() async throws {
    let run = try MNISTRun()
    for (flags, ranks, words) in [
      (["--lanes", "3"], 2, ["--lanes 3", "2 ranks", "2, 4, 8"]),
      (["--lanes", "6"], 2, ["--lanes 6", "2 ranks", "3, 6 ranks"]),
      (["--lanes", "1"], 2, ["--lanes 1", "2 ranks"]),
      (["--lanes", "4", "--batch-statistics", "global"], 2, ["--batch-statistics global", "4 lanes", "2 ranks"]),
      (["--lanes", "2", "--batch-statistics", "global"], 1, ["--batch-statistics global", "2 lanes", "1 rank"]),
      (["--lanes", "0"], 1, ["--lanes", "0", "1 to 1048576"]),
    ] {
      let result = try await run.run(["--steps", "1"] + flags, ranks: ranks)
      #expect(result.exitCode != 0 && result.exitCode < 128 && !result.timedOut, "\(result)")
      let lines = result.standardError.split(separator: "\n").filter { line in words.allSatisfy { line.contains($0) } }
      #expect(lines.count == 1, "expected one line with \(words): \(result)")
      #expect(!FileManager.default.fileExists(atPath: run.folder["runs"]))
    }
  }

  @Test("Resuming with other lanes is refused where they change the batch, and noted where they do not")
  func otherLanes() async throws {
    let run = try MNISTRun()
    let first = try await run.run(["--steps", "10"], ranks: 2)
    #expect(first.exitCode == 0, "\(first)")
    let folder = try #require(try run.runFolders().first)
    let refused = try await run.run(["--steps", "20", "--resume", folder], ranks: 1)
    #expect(refused.exitCode != 0 && refused.standardError.contains("made with 2 lanes"), "\(refused)")
    #expect(refused.standardError.contains("give --lanes 2"), "\(refused)")
    let noted = try await run.run(
      ["--steps", "10", "--resume", folder, "--lanes", "1", "--batch-size", "16"], ranks: 1)
    #expect(noted.exitCode == 0 && noted.standardOutput.contains("lanes was 2, is 1"), "\(noted)")
    let same = try await run.run(["--steps", "12", "--resume", folder, "--lanes", "2"], ranks: 1)
    #expect(same.exitCode == 0 && !same.standardOutput.contains("not bit for bit"), "\(same)")
  }
}

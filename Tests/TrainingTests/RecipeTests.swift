import Foundation
import TestSupport
import Testing

@Suite("CIFAR-10's recipes", .serialized)
struct RecipeTests {
  /// The recipe's network, small, on the built-in shapes.
  private func run(_ folder: String, _ flags: [String]) async throws -> JobResult {
    let small = ["--batch-size", "4", "--widths", "16,16,16", "--statistics-batches", "1", "--output", folder]
    return try await MPIRunner.run("cifar10", ["--recipe", "fast"] + small + flags, ranks: 1)
  }

  private func settings(in folder: String) throws -> [String: String] {
    let name = try #require(try FileManager.default.contentsOfDirectory(atPath: folder).first)
    let url = URL(fileURLWithPath: "\(folder)/\(name)/run.json")
    let document = try #require(try JSONSerialization.jsonObject(with: Data(contentsOf: url)) as? [String: Any])
    let sessions = try #require(document["sessions"] as? [[String: Any]])
    let values = (sessions.first?["settings"] as? [String: Any])?["values"] as? [String: String]
    return try #require(values)
  }

  @Test("A recipe's flags are set, and what is given besides counts")
  func givenFlagsCount() async throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("recipe-\(UUID().uuidString)").path
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let result = try await run(folder, ["--steps", "2", "--label-smoothing", "0.05", "--no-augment", "--seed", "3"])
    #expect(result.exitCode == 0, "\(result)")
    #expect(result.standardOutput.contains("not trained: whiten.weight"), "\(result)")
    let values = try settings(in: folder)
    #expect(values["optimizer"] == "adamw-schedulefree" && values["batch-size"] == "4")
    #expect(values["label-smoothing"] == "0.05" && values["seed"] == "3")
    #expect(values["data"]?.contains("augmentation") == false)
  }

  @Test(
    "Recipes and widths that there are not are refused",
    arguments: [
      (["--recipe", "slow"], "slow"), (["--widths", "16,16,16"], "'whitened'"),
      (["--model", "whitened", "--widths", "16,16"], "three numbers"),
      (["--model", "whitened", "--widths", "16,x,16"], "three numbers"),
      (["--model", "whitened", "--widths", "16,0,16"], "three numbers"),
    ])
  func refused(_ flags: [String], _ word: String) async throws {
    let result = try await MPIRunner.run("cifar10", ["--steps", "1"] + flags, ranks: 1)
    #expect(result.exitCode != 0 && result.standardError.contains(word), "\(result)")
  }
}

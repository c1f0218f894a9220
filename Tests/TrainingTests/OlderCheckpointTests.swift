import Foundation
import SystemPackage
import TestSupport
import Testing

@testable import Checkpoints

@Suite("Checkpoints of the version before the family of methods", .serialized)
struct OlderCheckpointTests {
  /// The hyperparameters that it saved of any method.
  private static let known: Set<String> = [
    "learning-rate", "beta1", "beta2", "epsilon", "momentum", "nesterov", "weight-decay", "warmup-steps",
    "averaging-power", "weight-lr-power", "schedule",
  ]

  /// Rewrites the state of a checkpoint as that version had it: fewer hyperparameters, and the counters of one rule.
  ///
  /// - Returns: the settings that were taken out.
  private func makeOld(_ checkpoint: String, removing parameters: Set<String>) throws -> Set<String> {
    let url = URL(fileURLWithPath: checkpoint + "/state.json")
    var text = try Data(contentsOf: url)
    var document = try #require(try JSONSerialization.jsonObject(with: text) as? [String: Any])
    var state = try #require(document["state"] as? [String: Any])
    var settings = try #require(state["settings"] as? [String: Any])
    var values = try #require(settings["values"] as? [String: String])
    let removed = parameters.intersection(values.keys).subtracting(Self.known)
    for name in removed { values[name] = nil }
    // Nor had it lanes.
    values["lanes"] = nil
    settings["values"] = values
    state["settings"] = settings
    let counters = try #require(state["counters"] as? [String: Any])
    state["counters"] = try #require((counters["groups"] as? [Any])?.first)
    document["state"] = state
    document["crc32_below"] = nil
    let below = try JSONSerialization.data(withJSONObject: document, options: [.prettyPrinted, .sortedKeys]).dropFirst(
      2)
    let checksum = below.withUnsafeBytes(CRC32.of).hexadecimal
    text = Data("{\"crc32_below\":\"\(checksum)\",\n".utf8) + below
    try text.write(to: url)
    return removed
  }

  @Test(
    "They are resumed, with what they do not name at its default, and with the bits of a run in one go",
    arguments: [
      ("adamw-schedulefree", ["averaging", "averaging-warmup", "decay-at", "inner-momentum"], "polyak"),
      ("adamw", ["averaging"], nil),
    ] as [(String, [String], String?)])
  func resume(optimizer: String, added: [String], refusedAveraging: String?) async throws {
    let run = try MNISTRun()
    let flags = ["--optimizer", optimizer, "--steps", "4", "--checkpoint-every", "2", "--evaluate-every", "0"]
    let first = try await run.run(flags)
    #expect(first.exitCode == 0, "\(first)")
    let whole = try #require(try run.runFolders().first)
    let old = whole + "/checkpoints/step-00000002"
    let parameters = try OptimizerNames.hyperparameters(of: optimizer)
    #expect(try makeOld(old, removing: parameters).isSuperset(of: added))
    // Their own code finds nothing wrong with it.
    _ = try Checkpoint(FilePath(old))

    if let refusedAveraging {
      let other = ["--averaging", refusedAveraging, "--resume", old, "--output", run.folder["refused"]]
      let refused = try await run.run(flags + other)
      #expect(refused.exitCode != 0 && refused.standardError.contains("cannot resume"), "\(refused)")
      #expect(refused.standardError.contains("averaging 'weighted'"), "\(refused)")
    }
    let resumed = try await run.run(flags + ["--resume", old, "--output", run.folder["resumed"]])
    #expect(resumed.exitCode == 0 && !resumed.standardOutput.contains("not bit for bit"), "\(resumed)")
    let folder = try #require(try run.runFolders("resumed").first)
    #expect(try run.model(folder) == run.model(whole))
    #expect(try run.counters(folder) == run.counters(whole))
  }
}

import Foundation
import TestSupport
import Testing

@Suite("A job that is started again goes on with its own run", .serialized)
struct JobNameTests {
  let run: MNISTRun
  init() throws { run = try MNISTRun() }

  /// Runs to a step, under a job's name.
  func start(
    _ job: String?, steps: Int, restart: String? = nil, _ extra: [String] = []
  ) async throws -> JobResult {
    var environment = ["FREEWHEEL_JOB": job ?? ""]
    if let restart { environment["FREEWHEEL_RESTART"] = restart }
    let result = try await MPIRunner.run(
      "mnist", run.flags + ["--steps", "\(steps)"] + extra, ranks: 1, environment: environment,
      directory: run.folder.path, timeLimit: .seconds(120))
    #expect(result.exitCode == 0, "\(result)")
    return result
  }

  /// The starts that `run.json` tells of: the step begun at, the job, the reason.
  func sessions(_ folder: String) throws -> [String] {
    let data = try Data(contentsOf: URL(fileURLWithPath: folder + "/run.json"))
    let document = try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
    return try #require(document["sessions"] as? [[String: Any]]).map { session in
      ["firstStep", "job", "restart"].compactMap { key in session[key].map { "\($0)" } }.joined(separator: " ")
    }
  }

  @Test("It is found by name, though another run is newer and --resume says something else")
  func name() async throws {
    _ = try await start(nil, steps: 20, ["--output", run.folder["whole"]])
    _ = try await start("a.1", steps: 10)
    _ = try await start("a", steps: 10)
    _ = try await start(nil, steps: 10)
    let folders = try run.runFolders()
    try #require(folders.count == 3)
    let resumed = try await start("a", steps: 20, restart: "restart 1 of 2", ["--resume", "auto"])
    #expect(resumed.standardOutput.contains("resumed at step 10"), "\(resumed)")
    #expect(try run.runFolders() == folders)
    #expect(try folders.map(sessions) == [["0 a.1"], ["0 a", "10 a restart 1 of 2"], ["0"]])
    #expect(try run.model(folders[1]) == run.model(try #require(run.runFolders("whole").first)))
    #expect(
      try run.results(folders[1])
        == run.results(try #require(run.runFolders("whole").first)).filter {
          !$0.isEmpty
        })
  }

  @Test("Its newest checkpoint is damaged: the one before is taken, and the end is the same")
  func damage() async throws {
    _ = try await start("a", steps: 20)
    let folder = try #require(try run.runFolders().first)
    let whole = try run.model(folder)
    let file = folder + "/checkpoints/step-00000020/optimizer.safetensors"
    var bytes = try Data(contentsOf: URL(fileURLWithPath: file))
    bytes[bytes.count / 2] ^= 1
    try bytes.write(to: URL(fileURLWithPath: file))
    let again = try await start("a", steps: 20)
    #expect(again.standardOutput.contains("passed over checkpoint"), "\(again)")
    #expect(again.standardOutput.contains("resumed at step 10"), "\(again)")
    #expect(try run.runFolders() == [folder])
    #expect(try run.model(folder) == whole)
  }

  @Test("It saved nothing: it begins again, in the same folder")
  func nothingSaved() async throws {
    _ = try await start("a", steps: 10)
    let folder = try #require(try run.runFolders().first)
    let (model, results) = (try run.model(folder), try run.results(folder))
    // As if it had been killed before its first checkpoint.
    for name in try FileManager.default.contentsOfDirectory(atPath: folder + "/checkpoints") {
      try FileManager.default.removeItem(atPath: folder + "/checkpoints/" + name)
    }
    _ = try await start("a", steps: 10)
    #expect(try run.runFolders() == [folder])
    #expect(try run.model(folder) == model)
    #expect(try run.results(folder) == results)
    #expect(try sessions(folder) == ["0 a", "0 a"])
  }
}

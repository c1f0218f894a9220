import Foundation
import SystemPackage
import Testing

@testable import Checkpoints

/// A save that fails or is killed must leave every earlier checkpoint as it was, and no part of itself.
@Suite struct CheckpointFailureTests {
  let folder: TestFolder
  let path: FilePath
  init() throws {
    folder = try TestFolder()
    path = folder.path.appending("checkpoints")
  }

  func store() throws -> CheckpointStore { try CheckpointStore(folder: path) }

  @Test func aSourceThatFails() throws {
    struct Broken: Error {}
    try saveExample(store(), step: 1)
    #expect(throws: Broken.self) {
      try store().save(
        step: 2, model: [TensorToWrite("a", shape: [1], floats: [1])],
        optimizer: [TensorToWrite("a", shape: [1]) { _ in throw Broken() }], state: ExampleState())
    }
    #expect(try names(path) == ["latest", "step-00000001"])
    #expect(try store().newestGood().checkpoint?.step == 1)
  }

  @Test func aStateThatIsNoJSON() throws {
    struct Broken: Encodable {
      func encode(to encoder: any Encoder) throws {
        throw EncodingError.invalidValue(0, .init(codingPath: [], debugDescription: "no"))
      }
    }
    try saveExample(store(), step: 1)
    let error = #expect(throws: CheckpointError.self) {
      try store().save(step: 2, model: [], optimizer: [], state: Broken())
    }
    #expect(error?.description.contains("cannot be written as JSON") == true)
    #expect(try names(path) == ["latest", "step-00000001"])
  }

  @Test func aFileInPlaceOfTheFolder() throws {
    _ = try folder.write([1], to: "checkpoints")
    let error = #expect(throws: FileError.self) { try saveExample(store(), step: 1) }
    #expect(error?.description == "cannot create the folder \(path): Not a directory")
  }

  @Test func linksThatCannotBeMadeAreWarnings() throws {
    // A folder with something in it cannot be replaced by a link.
    try FileSystem.createFolders(path.appending("latest/x"))
    let saved = try saveExample(store(), step: 1, metric: 1)
    #expect(saved.warnings.count == 1)
    #expect(saved.warnings.first?.contains("latest") == true)
    #expect(try linkTarget(path.appending("best")) == "step-00000001")
    #expect(try store().newestGood().checkpoint?.step == 1)
    #expect(try names(path) == ["best", "latest", "step-00000001"])
  }

  @Test func leftoversOfDeadProcessesAreIgnoredAndRemoved() throws {
    try saveExample(store(), step: 1)
    let host = ProcessIdentity.current.host
    let dead = try run("sh", ["-c", "echo $$"]).output.trimmingCharacters(in: .whitespacesAndNewlines)
    let leftovers = [
      ".saving-step-00000002-\(host)-\(dead)", ".removed-step-00000003-\(host)-\(dead)",
      ".saving-step-00000004-\(ProcessIdentity.current.suffix)",
    ]
    for name in leftovers {
      try FileManager.default.copyItem(
        atPath: path.appending("step-00000001").string, toPath: path.appending(name).string)
    }
    // The parent of the tests is alive, and a process of another host may be.
    let foreign = [".saving-step-00000005-\(host)-\(getppid())", ".saving-step-00000006-elsewhere-\(dead)"].sorted()
    for name in foreign { try FileSystem.createFolders(path.appending(name).appending("x")) }

    #expect(try store().newestGood().checkpoint?.step == 1)
    try saveExample(store(), step: 7)
    #expect(try names(path) == foreign + ["latest", "step-00000001", "step-00000007"])
  }

  @Test func killedAtAnyMoment() throws {
    let floats = 200_000
    var next = 1
    for round in 0..<6 {
      let started = try launch(try probe(), [path.string, "\(next)", "1000000", "\(floats)"])
      // The first line says that a checkpoint is complete; after it, moments spread over the following saves.
      var output = started.output.fileHandleForReading.availableData
      usleep(UInt32(3000 + 7001 * round))
      kill(started.process.processIdentifier, SIGKILL)
      started.process.waitUntilExit()
      output.append(started.output.fileHandleForReading.readDataToEndOfFile())
      let steps = String(decoding: output, as: UTF8.self).split(separator: "\n").compactMap { Int($0) }
      let last = try #require(steps.last, "the probe saved nothing")

      let found = try store().newestGood()
      let checkpoint = try #require(found.checkpoint)
      #expect(found.damaged.isEmpty)
      #expect(checkpoint.step == last || checkpoint.step == last + 1)
      let weights = try checkpoint.model().floats("weight", shape: [floats])
      #expect(weights.allSatisfy { $0 == Float(checkpoint.step) })
      #expect(try store().checkpoint(step: last).step == last)
      next = checkpoint.step + 1
    }
    let outcome = try run(try probe(), [path.string, "\(next)", "1", "3"])
    #expect(outcome.code == 0, "\(outcome.errors)")
    #expect(try names(path).filter { $0.hasPrefix(".") } == [])
    #expect(try store().steps().count == 3)  // the newest two and the best, which is the first
  }

  @Test func aLimitOnTheSizeOfFiles() throws {
    try saveExample(store(), step: 1)
    let before = try bytes(of: path.appending("step-00000001/model.safetensors"))
    // 64 KiB a file; the model takes 80 KB. Without care the signal SIGXFSZ would end the program.
    let outcome = try run(
      "bash", ["-c", "ulimit -f 64 && exec \"$0\" \"$@\"", try probe(), path.string, "2", "1", "20000"])
    #expect(outcome.code == 1)
    #expect(!outcome.killedBySignal)
    #expect(outcome.errors.contains("model.safetensors: File too large"), "\(outcome.errors)")
    #expect(outcome.errors.split(separator: "\n").count == 1)
    #expect(try names(path) == ["latest", "step-00000001"])
    #expect(try bytes(of: path.appending("step-00000001/model.safetensors")) == before)
  }

  /// Whether this process may mount a small file system.
  static let canMount: Bool = {
    guard let folder = try? TestFolder(), (try? run("mount", ["-t", "tmpfs", "tmpfs", folder.path.string]).code) == 0
    else { return false }
    return (try? run("umount", [folder.path.string]).code) == 0
  }()

  @Test(.enabled(if: canMount, "mounting a small file system takes root"))
  func aFullDisk() throws {
    try FileSystem.createFolder(path)
    #expect(try run("mount", ["-t", "tmpfs", "-o", "size=200k", "tmpfs", path.string]).code == 0)
    defer { _ = try? run("umount", ["-l", path.string]) }
    try saveExample(store(), step: 1, floats: 10_000)
    try saveExample(store(), step: 2, floats: 10_000)
    // Each takes 80 KB, so the third does not fit.
    let error = #expect(throws: FileError.self) { try saveExample(store(), step: 3, floats: 10_000) }
    #expect(error?.errno == .noSpace)
    #expect(error?.description.contains("model.safetensors: No space left on device") == true)
    #expect(try names(path) == ["latest", "step-00000001", "step-00000002"])
    #expect(try store().newestGood().checkpoint?.step == 2)
    #expect(try linkTarget(path.appending("latest")) == "step-00000002")

    // Metrics on the full disk: an error, and whole lines only.
    let metrics = path.appending("metrics.jsonl")
    let line = String(repeating: "x", count: 3000)
    #expect(throws: FileError.self) {
      let writer = try MetricsWriter(metrics)
      while true { try writer.append(["step": 1, "text": .text(line)]) }
    }
    let lines = try text(of: metrics).split(separator: "\n", omittingEmptySubsequences: false)
    #expect(lines.count > 2)
    #expect(lines.last == "")
    #expect(lines.dropLast().allSatisfy { $0.count == lines[0].count })
    try FileSystem.removeFile(metrics)
    try saveExample(store(), step: 3, floats: 100)
    #expect(try store().newestGood().checkpoint?.step == 3)
  }

  @Test(.enabled(if: canMount, "mounting a file system takes root"))
  func aReadOnlyDisk() throws {
    try saveExample(store(), step: 1)
    #expect(try run("mount", ["-t", "tmpfs", "-o", "ro", "tmpfs", path.string]).code == 0)
    defer { _ = try? run("umount", ["-l", path.string]) }
    var error = #expect(throws: FileError.self) { try saveExample(store(), step: 2) }
    #expect(error?.description.hasSuffix("Read-only file system") == true)
    error = #expect(throws: FileError.self) { try RunFolder.create(root: path.appending("runs"), name: "mnist") }
    #expect(error?.description == "cannot create the folder \(path)/runs: Read-only file system")
  }
}

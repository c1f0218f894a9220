import Foundation
import SystemPackage
import Testing

@testable import Checkpoints

@Suite struct RunFolderTests {
  let folder: TestFolder
  init() throws { folder = try TestFolder() }

  /// 2026-11-20 10:00:00 UTC.
  static let date = Date(timeIntervalSince1970: 1_795_168_800)

  @Test func isNamedAfterProgramAndTime() throws {
    let root = folder.path.appending("not/yet/there")
    let run = try RunFolder.create(root: root, name: "mnist", date: Self.date)
    #expect(run.path == root.appending("mnist-2026-11-20T10-00-00"))
    #expect(try names(run.path) == ["checkpoints"])
    let second = try RunFolder.create(root: root, name: "mnist", date: Self.date)
    let third = try RunFolder.create(root: root, name: "mnist", date: Self.date)
    #expect(second.path.lastComponent?.string == "mnist-2026-11-20T10-00-00-2")
    #expect(third.path.lastComponent?.string == "mnist-2026-11-20T10-00-00-3")
  }

  @Test(arguments: ["", "a/b", "..", ".hidden", "-n", "with space", "ünï", "a\nb"])
  func impossibleNamesAreRefused(_ name: String) throws {
    #expect(throws: CheckpointError.self) { try RunFolder.create(root: folder.path, name: name) }
    #expect(try names(folder.path).isEmpty)
  }

  @Test func anUnwritableRootIsRefused() throws {
    // A file where a folder should be stops even root, whom permissions do not.
    let file = try folder.write([1], to: "file")
    var error = #expect(throws: FileError.self) { try RunFolder.create(root: file, name: "mnist") }
    #expect(error?.description.contains("\(file)") == true)
    error = #expect(throws: FileError.self) { try RunFolder.create(root: file.appending("runs"), name: "mnist") }
    #expect(error?.description.contains("Not a directory") == true, "\(String(describing: error))")
  }

  @Test(.enabled(if: geteuid() != 0, "permissions do not stop root"))
  func aFolderWithoutWritePermissionIsRefused() throws {
    let closed = folder.path.appending("closed")
    try FileSystem.createFolder(closed)
    try FileManager.default.setAttributes([.posixPermissions: 0o555], ofItemAtPath: closed.string)
    let error = #expect(throws: FileError.self) { try RunFolder.create(root: closed, name: "mnist", date: Self.date) }
    #expect(
      error?.description == "cannot create the folder \(closed)/mnist-2026-11-20T10-00-00: Permission denied")
  }

  @Test func describesItself() throws {
    struct Description: Codable, Equatable {
      var seed: UInt64
      var learningRate: Double
      var data: String
    }
    let run = try RunFolder.create(root: folder.path, name: "mnist")
    let description = Description(seed: .max, learningRate: 0.0025, data: "a/b")
    try run.writeDescription(description)
    #expect(
      try text(of: run.descriptionFile) == """
        {
          "data" : "a/b",
          "learningRate" : 0.0025,
          "seed" : 18446744073709551615
        }

        """)
    #expect(try run.readDescription() == description)
    #expect(throws: CheckpointError.self) { try run.readDescription(as: [Int].self) }
    try run.writeDescription(["again": 1])
    #expect(try run.readDescription() == ["again": 1])
    #expect(try names(run.path) == ["checkpoints", "run.json"])
  }

  @Test func onlyOneProcessWrites() throws {
    let run = try RunFolder.create(root: folder.path, name: "mnist")
    do {
      let lock = try run.lock()
      let error = #expect(throws: CheckpointError.self) { _ = try run.lock() }
      #expect(error?.description.contains("another process is writing into this run") == true)
      _ = consume lock
    }
    _ = try run.lock()
  }

  @Test func ordersRunsByTimeAndNumber() {
    #expect(RunFolder.order(ofName: "mnist-2026-11-20T10-00-00", program: "mnist")?.number == 1)
    #expect(RunFolder.order(ofName: "mnist-2026-11-20T10-00-00-12", program: "mnist")?.number == 12)
    for other in [
      "mnist", "mnist-", "mnist-big-2026-11-20T10-00-00", "mnist-2026-11-20T10:00:00", "mnist-2026-11-20T10-00-00-1",
      "mnist-2026-11-20T10-00-00-x", "mnist-2026-11-20T10-00-00.bak", "cifar10-2026-11-20T10-00-00",
    ] {
      #expect(RunFolder.order(ofName: other, program: "mnist") == nil, "\(other)")
    }
  }
}

@Suite struct ResumeTests {
  let folder: TestFolder
  init() throws { folder = try TestFolder() }

  /// Runs of the same second, with checkpoints at these steps.
  func makeRuns(_ steps: [[Int]]) throws -> [RunFolder] {
    try steps.map { steps in
      let run = try RunFolder.create(root: folder.path, name: "mnist", date: RunFolderTests.date)
      try run.writeDescription(["a": 1])
      for step in steps { try saveExample(run.checkpoints(), step: step) }
      return run
    }
  }

  @Test func autoTakesTheNewestRunWithAGoodCheckpoint() throws {
    var counts = [[Int]](repeating: [5], count: 9)
    counts += [[10, 20], []]  // the tenth run sorts after the second, the eleventh has no checkpoint
    let runs = try makeRuns(counts)
    _ = try RunFolder.create(root: folder.path, name: "mnist-big")
    let found = try RunFolder.newestResumable(root: folder.path, name: "mnist")
    #expect(found.point?.run == runs[9])
    #expect(found.point?.checkpoint.step == 20)
    #expect(found.damaged.isEmpty)
  }

  @Test func autoPassesOverDamage() throws {
    let runs = try makeRuns([[10], [20, 30]])
    let store = try runs[1].checkpoints()
    try flipByte(of: store.folder.appending("step-00000030/model.safetensors"), at: 90)
    var found = try RunFolder.newestResumable(root: folder.path, name: "mnist")
    #expect(found.point?.checkpoint.step == 20)
    #expect(found.point?.damaged.count == 1)
    try FileSystem.removeFile(store.folder.appending("step-00000020/optimizer.safetensors"))
    found = try RunFolder.newestResumable(root: folder.path, name: "mnist")
    #expect(found.point?.run == runs[0])
    #expect(found.damaged.map(\.folder.lastComponent?.string) == ["step-00000030", "step-00000020"])
    #expect(found.damaged.last?.reason.hasSuffix("step-00000020/optimizer.safetensors: is missing") == true)
  }

  @Test func autoFindsNothing() throws {
    #expect(try RunFolder.newestResumable(root: folder.path.appending("none"), name: "mnist").point == nil)
    #expect(try RunFolder.newestResumable(root: folder.path, name: "mnist").point == nil)
  }

  @Test func aFolderCanBeNamedInEveryWay() throws {
    let run = try makeRuns([[10, 20]])[0]
    let resolved = RunFolder(try FileSystem.resolved(run.path))
    for (path, step) in [
      ("", 20), ("checkpoints", 20), ("checkpoints/latest", 20), ("checkpoints/step-00000010", 10),
      ("checkpoints/../checkpoints/", 20),
    ] {
      let point = try RunFolder.resume(from: FilePath(run.path.string + "/" + path))
      #expect(point.run == resolved, "\(path)")
      #expect(point.checkpoint.step == step, "\(path)")
    }
  }

  @Test func aCopiedCheckpointHasNoRun() throws {
    let run = try makeRuns([[10]])[0]
    let copy = folder.path.appending("copy")
    try FileManager.default.copyItem(
      atPath: run.checkpointsFolder.appending("step-00000010").string, toPath: copy.string)
    let point = try RunFolder.resume(from: copy)
    #expect(point.run == nil)
    #expect(point.checkpoint.step == 10)
  }

  @Test func whatCannotBeResumedIsSaid() throws {
    let runs = try makeRuns([[], [10]])
    let file = try folder.write([1], to: "file")
    let damaged = runs[1].checkpointsFolder.appending("step-00000010")
    try FileSystem.removeFile(damaged.appending("state.json"))
    for (path, message) in [
      (folder.path.appending("none"), "does not exist"), (file, "is not a folder"),
      (runs[0].path, "has no checkpoint to resume: it holds none"),
      (runs[1].path, "step-00000010/state.json: is missing"), (damaged, "state.json: is missing"),
      (folder.path, "state.json: is missing; this is no checkpoint"),
    ] {
      let error = #expect(throws: CheckpointError.self) { try RunFolder.resume(from: path) }
      #expect(error?.description.contains(message) == true, "\(String(describing: error))")
    }
  }
}

import Foundation
import SystemPackage
import Testing

@testable import Checkpoints

@Suite struct CheckpointStoreTests {
  let folder: TestFolder
  let path: FilePath
  init() throws {
    folder = try TestFolder()
    path = folder.path.appending("checkpoints")
  }

  func store(keep: Int? = nil) throws -> CheckpointStore { try CheckpointStore(folder: path, keep: keep) }

  @Test func comesBackAsSaved() throws {
    let saved = try saveExample(store(), step: 1875, metric: 0.9921)
    #expect(saved.folder == path.appending("step-00001875"))
    #expect(saved.warnings.isEmpty)
    #expect(try names(path) == ["best", "latest", "step-00001875"])
    #expect(try names(saved.folder) == ["model.safetensors", "optimizer.safetensors", "state.json"])
    let sizes = try names(saved.folder).map { try bytes(of: saved.folder.appending($0)).count }
    #expect(saved.byteCount == sizes.reduce(0, +))
    #expect(try linkTarget(path.appending("latest")) == "step-00001875")

    let found = try store().newestGood()
    let checkpoint = try #require(found.checkpoint)
    #expect(found.damaged.isEmpty)
    #expect(checkpoint.step == 1875)
    #expect(checkpoint.metric == 0.9921)
    let state: ExampleState = try checkpoint.state()
    #expect(state == ExampleState(epoch: 1875))
    #expect(state.negativeZero.sign == .minus)
    #expect(try checkpoint.model().floats("fc.weight", shape: [7]) == [Float](repeating: 1875, count: 7))
    #expect(try checkpoint.optimizer().floats("fc.weight.z", shape: [7]) == [Float](repeating: -1875, count: 7))
  }

  @Test func equalStatesAreEqualBytes() throws {
    try saveExample(store(), step: 3)
    let other = try CheckpointStore(folder: folder.path.appending("other"))
    try saveExample(other, step: 3)
    for name in try names(path.appending("step-00000003")) {
      #expect(
        try bytes(of: path.appending("step-00000003").appending(name))
          == bytes(of: other.folder.appending("step-00000003").appending(name)), "\(name)")
    }
  }

  @Test func noTensorsAndStepZero() throws {
    _ = try store().save(step: 0, model: [], optimizer: [], state: [String: Int]())
    #expect(try store().newestGood().checkpoint?.step == 0)
  }

  @Test func keepsTheNewestAndTheBest() throws {
    let metrics = [0.90, 0.97, 0.95, .nan, 0.97, 0.96]
    var removed: [Int] = []
    for (index, metric) in metrics.enumerated() {
      removed += try saveExample(store(keep: 2), step: 10 * (index + 1), metric: metric).removedSteps
    }
    #expect(try store().steps() == [20, 50, 60])
    #expect(removed == [10, 30, 40])
    #expect(try linkTarget(path.appending("latest")) == "step-00000060")
    #expect(try linkTarget(path.appending("best")) == "step-00000020")
    #expect(try names(path) == ["best", "latest", "step-00000020", "step-00000050", "step-00000060"])
  }

  @Test func withoutMetricsThereIsNoBest() throws {
    for step in 1...3 { try saveExample(store(keep: 1), step: step) }
    #expect(try names(path) == ["latest", "step-00000003"])
  }

  @Test func anEarlierStepSavedLaterIsNotDeletedAtOnce() throws {
    for step in [10, 20, 30, 5] { try saveExample(store(keep: 2), step: step) }
    #expect(try store().steps() == [5, 20, 30])
    #expect(try linkTarget(path.appending("latest")) == "step-00000005")
  }

  @Test func checkpointsOfAnAbandonedFutureCanBeRemoved() throws {
    for step in [10, 20, 30] { try saveExample(store(), step: step) }
    #expect(try store().removeCheckpoints(afterStep: 10) == [20, 30])
    #expect(try store().steps() == [10])
    #expect(try linkTarget(path.appending("latest")) == "step-00000010")
    #expect(try store().removeCheckpoints(afterStep: 10) == [])
  }

  @Test func theSameStepIsReplaced() throws {
    try saveExample(store(), step: 10, floats: 7)
    try saveExample(store(), step: 10, floats: 11)
    #expect(try store().newestGood().checkpoint?.model().tensor("fc.weight").shape == [11])
    #expect(try names(path) == ["latest", "step-00000010"])
  }

  @Test func stepsSortAsNumbersBeyondEightDigits() throws {
    try saveExample(store(), step: 99_999_999)
    try saveExample(store(), step: 100_000_000)
    #expect(try store().newestGood().checkpoint?.step == 100_000_000)
  }

  @Test func impossibleArgumentsAreRefused() throws {
    #expect(throws: CheckpointError.self) { try store(keep: 0) }
    #expect(throws: CheckpointError.self) { try saveExample(store(), step: -1) }
    #expect(throws: SafetensorsError.self) {
      try store().save(
        step: 1, model: [TensorToWrite("a", shape: [2], floats: [1])], optimizer: [], state: ExampleState())
    }
    #expect(try FileSystem.kind(path) == nil)
  }

  @Test func aStateOfAnotherProgramIsRefused() throws {
    struct Other: Codable { var sampler: Int }
    try saveExample(store(), step: 1)
    let checkpoint = try store().checkpoint(step: 1)
    let error = #expect(throws: CheckpointError.self) { try checkpoint.state(as: Other.self) }
    #expect(error?.message == "its state is of another program or version: no \"state.sampler\"")
  }

  // MARK: damage

  @Test(arguments: ["model.safetensors", "optimizer.safetensors", "state.json"])
  func everyDamagedByteIsFound(_ name: String) throws {
    try saveExample(store(), step: 1)
    let file = path.appending("step-00000001").appending(name)
    let whole = try bytes(of: file)
    // A prime stride visits header, padding, data, digits and names.
    for offset in stride(from: 0, to: whole.count, by: 7) {
      try flipByte(of: file, at: offset)
      let error = #expect(throws: CheckpointError.self, "byte \(offset) of \(name)") { try store().checkpoint(step: 1) }
      #expect(error?.path == file)
      try flipByte(of: file, at: offset)
    }
    #expect(try store().checkpoint(step: 1).step == 1)
  }

  @Test(arguments: ["model.safetensors", "optimizer.safetensors", "state.json"])
  func aFileThatIsShortOrLongOrMissingIsFound(_ name: String) throws {
    let file = path.appending("step-00000002").appending(name)
    for change: (inout [UInt8]) -> Void in [{ $0.removeLast() }, { $0.append(0) }, { $0 = [] }] {
      for step in 1...2 { try saveExample(store(), step: step) }
      var content = try bytes(of: file)
      change(&content)
      try Data(content).write(to: URL(fileURLWithPath: file.string))
      let found = try store().newestGood()
      #expect(found.checkpoint?.step == 1)
      #expect(found.damaged.map(\.folder) == [path.appending("step-00000002")])
      #expect(found.damaged.first?.reason.contains(name) == true)
    }
    try FileSystem.removeFile(file)
    #expect(try store().newestGood().damaged.first?.reason.contains("\(name): is missing") == true)
  }

  @Test func aNewerFormatIsRefusedPlainly() throws {
    try saveExample(store(), step: 1)
    let file = path.appending("step-00000001/state.json")
    let prefix = "{\"crc32_below\":\"00000000\",\n".utf8.count
    let below = try text(of: file).utf8.dropFirst(prefix)
    let newer = String(decoding: below, as: UTF8.self).replacing("\"version\" : 1", with: "\"version\" : 2")
    let checksum = Array(newer.utf8).withUnsafeBytes(CRC32.of).hexadecimal
    _ = try folder.write("{\"crc32_below\":\"\(checksum)\",\n\(newer)".utf8, to: "checkpoints/step-00000001/state.json")
    let error = #expect(throws: CheckpointError.self) { try store().checkpoint(step: 1) }
    #expect(error?.message == "found freewheel checkpoint, version 2; expected freewheel checkpoint, version 1")
  }

  @Test func stateIsPlainJSON() throws {
    try saveExample(store(), step: 1, metric: -.infinity)
    let data = Data(try bytes(of: path.appending("step-00000001/state.json")))
    let object = try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
    #expect(object["step"] as? Int == 1)
    #expect((object["state"] as? [String: Any])?["epoch"] as? Int == 1)
  }

  @Test func checksumIsZlibs() {
    // The check value of the CRC catalogue for CRC-32/ISO-HDLC.
    #expect(Array("123456789".utf8).withUnsafeBytes(CRC32.of) == 0xCBF4_3926)
    #expect([UInt8]().withUnsafeBytes(CRC32.of) == 0)
    #expect(UInt32(0xAB).hexadecimal == "000000ab")
  }
}

import Foundation
import SystemPackage
import Testing

@testable import Checkpoints

@Suite struct MetricsWriterTests {
  let folder: TestFolder
  let path: FilePath
  init() throws {
    folder = try TestFolder()
    path = folder.path.appending("metrics.jsonl")
  }

  /// Writes one line a step, as a run would.
  func writeSteps(_ steps: some Sequence<Int>) throws {
    let writer = try MetricsWriter(path)
    for step in steps {
      try writer.append(["event": "step", "step": .integer(step), "loss": .number(1 / Double(step))])
    }
  }

  @Test func keysKeepTheirOrderAndNumbersTheirValue() throws {
    let writer = try MetricsWriter(path)
    try writer.append([
      "event": "step", "step": 1875, "loss": .number(0.1 + 0.2), "single": .single(0.1), "tiny": 5e-10, "large": 1e300,
      "whole": 100.0, "negative": -0.0, "nan": .number(.nan), "infinite": .single(.infinity), "none": .null,
      "yes": true,
      "text": "a \"b\" \\ \u{1} \n ü",
    ])
    try writer.append(ordered: [("b", 1), ("a", 2), ("c", 3)])
    #expect(
      try text(of: path) == #"""
        {"event":"step","step":1875,"loss":0.30000000000000004,"single":0.1,"tiny":5e-10,"large":1e+300,"whole":100.0,"negative":-0.0,"nan":null,"infinite":null,"none":null,"yes":true,"text":"a \"b\" \\ \u0001 \n ü"}
        {"b":1,"a":2,"c":3}

        """#)
    let first = try #require(try text(of: path).split(separator: "\n").first)
    struct Line: Decodable {
      var loss: Double
      var text: String
    }
    let object = try JSONDecoder().decode(Line.self, from: Data(first.utf8))
    #expect(object.text == "a \"b\" \\ \u{1} \n ü")
    #expect(object.loss == 0.1 + 0.2)
  }

  @Test func continuesAfterWhatIsThere() throws {
    try writeSteps(1...2)
    try writeSteps(3...3)
    #expect(try text(of: path).split(separator: "\n").count == 3)
  }

  @Test(
    arguments: ["", "{\"step\":1}\n", "{\"step\":1}\n{\"step\":2}\n"],
    ["", "{", "{\"step\":3}", "{\"a\":\"\(String(repeating: "x", count: 9000))"])
  func aHalfWrittenLineIsRemoved(_ whole: String, _ half: String) throws {
    _ = try folder.write((whole + half).utf8, to: "metrics.jsonl")
    try MetricsWriter(path).append(["step": 4])
    #expect(try text(of: path) == whole + "{\"step\":4}\n")
  }

  @Test func aResumedFileIsThatOfARunNeverInterrupted() throws {
    try writeSteps(1...40)
    let uninterrupted = try bytes(of: path)
    try FileSystem.removeFile(path)

    try writeSteps(1...27)
    _ = try folder.write(try bytes(of: path) + Array("{\"event\":\"step\",\"st".utf8), to: "metrics.jsonl")
    let truncation = try MetricsWriter.truncate(path, afterStep: 20)
    #expect(truncation == .init(kept: 20, dropped: 7, damaged: 1))
    try writeSteps(21...40)
    #expect(try bytes(of: path) == uninterrupted)
  }

  @Test func eventsOfTheVeryStepCanBeDropped() throws {
    _ = try folder.write(
      """
      {"event":"step","step":20}
      {"event":"summary","step":10}
      {"event":"summary","step":20}
      not JSON
      {"event":"start"}
      {"step":20}

      """.utf8, to: "metrics.jsonl")
    let truncation = try MetricsWriter.truncate(path, afterStep: 20, droppingEvents: ["summary"])
    #expect(truncation == .init(kept: 3, dropped: 1, damaged: 2))
    #expect(
      try text(of: path) == """
        {"event":"step","step":20}
        {"event":"summary","step":10}
        {"step":20}

        """)
    #expect(try names(folder.path) == ["metrics.jsonl"])
  }

  @Test func truncatingNothing() throws {
    #expect(try MetricsWriter.truncate(path, afterStep: 3) == .init())
    try writeSteps(1...3)
    let before = try bytes(of: path)
    #expect(try MetricsWriter.truncate(path, afterStep: 3) == .init(kept: 3))
    #expect(try bytes(of: path) == before)
    #expect(try MetricsWriter.truncate(path, afterStep: 0) == .init(dropped: 3))
    #expect(try bytes(of: path).isEmpty)
  }

  @Test func aFolderInPlaceOfTheFileIsRefused() throws {
    try FileSystem.createFolder(path)
    #expect(throws: FileError.self) { _ = try MetricsWriter(path) }
    #expect(throws: FileError.self) { _ = try MetricsWriter(folder.path.appending("none/metrics.jsonl")) }
  }

  @Test func aFullDiskIsReported() throws {
    // Every write to this device fails as one to a full disk does.
    let error = #expect(throws: FileError.self) {
      let file = try OpenFile("/dev/full", O_WRONLY, action: "open")
      try [UInt8](repeating: 1, count: 8).withUnsafeBytes { try file.write($0) }
    }
    #expect(error?.errno == .noSpace)
    #expect(error?.description.hasPrefix("cannot write /dev/full: No space left on device") == true)
  }
}

import Foundation
import TestSupport
import Testing

@Suite("The benchmark of batch assembly")
struct DataBenchmarkTests {
  /// A CIFAR-10 of two records a file.
  func makeData(in folder: TemporaryFolder) throws {
    for name in (1...5).map({ "data_batch_\($0).bin" }) + ["test_batch.bin"] {
      let records = (0..<2).flatMap { [UInt8($0)] + [UInt8](repeating: 7, count: 3072) }
      try Data(records).write(to: URL(fileURLWithPath: folder[name]))
    }
  }

  @Test("A time for every form and augmentation", arguments: [1, 2])
  func table(ranks: Int) async throws {
    let folder = try TemporaryFolder()
    try makeData(in: folder)
    let result = try await MPIRunner.run(
      "freewheel", ["benchmark", "data", "--data", folder.path, "--batch-size", "16", "--repetitions", "3"],
      ranks: ranks)
    #expect(result.exitCode == 0, "\(result)")
    let lines = result.standardOutput.split(whereSeparator: \.isNewline).map { $0.split(separator: " ") }
    #expect(lines.count == 6, "\(result)")
    for (line, form) in zip(lines.dropFirst(2), ["NCHW float32", "NCHW bfloat16", "NHWC float32", "NHWC bfloat16"]) {
      #expect(line.prefix(2).joined(separator: " ") == form)
      #expect(line.dropFirst(2).compactMap { Double($0) }.filter { $0 > 0 }.count == 4, "\(result)")
    }
  }

  @Test("Numbers and folders that make no sense are refused")
  func refusals() async throws {
    for (flags, message) in [
      (["--batch-size", "0"], "--batch-size is 0; expected 1 to 65536"),
      (["--repetitions", "0"], "--repetitions is 0; expected 1 or more"),
      (["--data", "/nowhere"], "launch/fetch-data cifar10 /nowhere"),
    ] {
      let result = try await MPIRunner.run("freewheel", ["benchmark", "data"] + flags, ranks: 1)
      #expect(result.exitCode != 0 && result.standardError.contains(message), "\(result)")
    }
  }
}

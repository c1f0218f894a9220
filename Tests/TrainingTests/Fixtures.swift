import Foundation
import TestSupport
import Testing

/// A folder that is removed with its owner.
final class TemporaryFolder: Sendable {
  let path: String

  init() throws {
    path = NSTemporaryDirectory() + "freewheel-test-" + UUID().uuidString
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  subscript(_ name: String) -> String { path + "/" + name }
}

/// Small data sets in MNIST's format, which a network can learn in a few steps: a bright block whose place is the
/// label's, in noise.
enum TinyDigits {
  /// Writes the four files of the MNIST distribution into `folder`.
  static func write(to folder: String, training: Int = 384, test: Int = 101) throws {
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    try writePart("train", count: training, seed: 1, folder)
    try writePart("t10k", count: test, seed: 2, folder)
  }

  private static func writePart(_ part: String, count: Int, seed: UInt64, _ folder: String) throws {
    var state = seed
    func random() -> UInt64 {
      // SplitMix64 (Steele, Lea, Flood 2014).
      state &+= 0x9E37_79B9_7F4A_7C15
      var bits = state
      bits = (bits ^ (bits >> 30)) &* 0xBF58_476D_1CE4_E5B9
      bits = (bits ^ (bits >> 27)) &* 0x94D0_49BB_1331_11EB
      return bits ^ (bits >> 31)
    }
    var images: [UInt8] = []
    var labels: [UInt8] = []
    for _ in 0..<count {
      let label = Int(random() % 10)
      var image = (0..<784).map { _ in UInt8(random() % 96) }
      let (top, left) = (2 + 5 * (label % 5), 3 + 12 * (label / 5))
      for row in top..<(top + 4) {
        for column in left..<(left + 8) { image[row * 28 + column] = UInt8(160 + random() % 96) }
      }
      images += image
      labels.append(UInt8(label))
    }
    func word(_ value: Int) -> [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: value >> (24 - 8 * $0)) } }
    let imageFile = word(0x803) + word(count) + word(28) + word(28) + images
    let labelFile = word(0x801) + word(count) + labels
    try Data(imageFile).write(to: URL(fileURLWithPath: "\(folder)/\(part)-images-idx3-ubyte"))
    try Data(labelFile).write(to: URL(fileURLWithPath: "\(folder)/\(part)-labels-idx1-ubyte"))
  }
}

/// The `mnist` example run by a test in a folder of its own.
struct MNISTRun {
  let folder: TemporaryFolder

  init() throws {
    folder = try TemporaryFolder()
    try TinyDigits.write(to: folder["data"])
  }

  /// The flags of a short run: eight-example batches, so that a debug build is quick.
  var flags: [String] {
    [
      "--data", folder["data"], "--output", folder["runs"], "--batch-size", "8", "--log-every", "1", "--evaluate-every",
      "10", "--checkpoint-every", "10",
    ]
  }

  /// Runs on `ranks` ranks under mpirun and waits.
  func run(_ extra: [String], ranks: Int = 2, directory: String? = nil) async throws -> JobResult {
    try await MPIRunner.run(
      "mnist", flags + extra, ranks: ranks, directory: directory ?? folder.path, timeLimit: .seconds(120))
  }

  /// Run folders under `--output`, oldest first.
  func runFolders(_ output: String = "runs") throws -> [String] {
    try FileManager.default.contentsOfDirectory(atPath: folder[output]).sorted().map { folder[output] + "/" + $0 }
  }

  /// The objects of a run's metrics.
  func metrics(_ run: String) throws -> [[String: Any]] {
    let text = try String(contentsOfFile: run + "/metrics.jsonl", encoding: .utf8)
    return try text.split(separator: "\n").map { line in
      try #require(try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
    }
  }

  /// What must be the same in runs that compute the same: every event without times and paths.
  func results(_ run: String) throws -> [String] {
    try metrics(run).map { line in
      ["event", "step", "epoch", "loss", "accuracy", "learning_rate", "best_accuracy"]
        .compactMap { key in line[key].map { "\(key)=\($0)" } }.joined(separator: " ")
    }
  }

  /// The bytes of the newest checkpoint's model.
  func model(_ run: String) throws -> Data {
    try Data(contentsOf: URL(fileURLWithPath: run + "/checkpoints/latest/model.safetensors"))
  }
}

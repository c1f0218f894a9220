import Checkpoints
import Foundation
import SystemPackage
import TestSupport
import Testing

/// Losses of PyTorch in double precision, from weights and images given by formulas: see `Goldens/generate.py` and
/// `Tests/Oracles/formula.py`, which this file follows.
@Suite("Agreement with PyTorch")
struct PyTorchAgreementTests {
  private struct Golden: Decodable {
    struct Checks: Decodable {
      var label_sum: Int
      var pixel_sum: Int
      var first_image_row: [UInt8]
      var weight_sums: [String: Double]
    }
    var losses: [Double]
    var loss_at_x: Double
    var checks: Checks
  }

  private func splitmix64(_ counter: UInt64) -> UInt64 {
    var state = counter &+ 0x9E37_79B9_7F4A_7C15
    state = (state ^ (state >> 30)) &* 0xBF58_476D_1CE4_E5B9
    state = (state ^ (state >> 27)) &* 0x94D0_49BB_1331_11EB
    return state ^ (state >> 31)
  }

  private func labels(_ count: Int) -> [UInt8] {
    (0..<count).map { UInt8(splitmix64(1 << 40 + UInt64($0)) % 10) }
  }

  private func images(_ labels: [UInt8]) -> [UInt8] {
    var pixels: [UInt8] = []
    pixels.reserveCapacity(labels.count * 784)
    for (example, label) in labels.enumerated() {
      let phase = Int(splitmix64(1 << 41 + UInt64(example)) % 64)
      for row in 0..<28 {
        for column in 0..<28 {
          let angle = (Int(label) + 2) * row + (11 - Int(label)) * column + phase
          let noise = Int(splitmix64(1 << 42 + UInt64(784 * example + 28 * row + column)) % 64)
          pixels.append(UInt8(6 * abs(angle % 64 - 32) + noise))
        }
      }
    }
    return pixels
  }

  private let tensors: [(name: String, shape: [Int], fanIn: Double)] = [
    ("conv1.weight", [32, 1, 3, 3], 9), ("conv1.bias", [32], 9), ("conv2.weight", [64, 32, 3, 3], 288),
    ("conv2.bias", [64], 288), ("fc1.weight", [128, 9216], 9216), ("fc1.bias", [128], 9216),
    ("fc2.weight", [10, 128], 128), ("fc2.bias", [10], 128),
  ]

  private func weights(_ number: Int) -> [Float] {
    let tensor = tensors[number]
    return (0..<tensor.shape.reduce(1, *)).map { index in
      let bits = Double(splitmix64(UInt64(number) << 32 + UInt64(index)) >> 40)
      return Float((bits / Double(1 << 23) - 1) * (1 / tensor.fanIn.squareRoot()))
    }
  }

  private func writeSet(_ part: String, images: ArraySlice<UInt8>, labels: ArraySlice<UInt8>, to folder: String) throws
  {
    func word(_ value: Int) -> [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: value >> (24 - 8 * $0)) } }
    let header = word(0x803) + word(labels.count) + word(28) + word(28)
    try Data(header + images).write(to: URL(fileURLWithPath: "\(folder)/\(part)-images-idx3-ubyte"))
    try Data(word(0x801) + word(labels.count) + labels).write(
      to: URL(fileURLWithPath: "\(folder)/\(part)-labels-idx1-ubyte"))
  }

  @Test("The first 20 losses at two ranks, and the loss at x after them, are those of PyTorch's float64 run to 3e-4")
  func losses() async throws {
    let golden = try JSONDecoder().decode(
      Golden.self,
      from: Data(
        contentsOf: URL(fileURLWithPath: MPIRunner.packageRoot + "/Tests/TrainingTests/Goldens/mnist-losses.json")))
    #expect(golden.losses.count == 20)
    let folder = try TemporaryFolder()
    let labels = labels(20 * 128)
    let images = images(labels)
    // The inputs are those that PyTorch had.
    #expect(labels.reduce(0) { $0 + Int($1) } == golden.checks.label_sum)
    #expect(images.reduce(0) { $0 + Int($1) } == golden.checks.pixel_sum)
    #expect(Array(images[..<28]) == golden.checks.first_image_row)
    for (number, tensor) in tensors.enumerated() {
      let sum = weights(number).reduce(0.0) { $0 + Double($1) }
      let expected = try #require(golden.checks.weight_sums[tensor.name])
      #expect(abs(sum - expected) <= 1e-9 * max(1, abs(expected)), "\(tensor.name)")
    }
    try writeSet("train", images: images[...], labels: labels[...], to: folder.path)
    try writeSet("t10k", images: images[..<(128 * 784)], labels: labels[..<128], to: folder.path)
    try Safetensors.write(
      tensors.enumerated().map { TensorToWrite($1.name, shape: $1.shape, floats: weights($0)) },
      to: FilePath(folder["weights.safetensors"]))

    let result = try await MPIRunner.run(
      "mnist",
      [
        "--data", folder.path, "--output", folder["runs"], "--initial-weights", folder["weights.safetensors"],
        "--batch-size", "64", "--steps", "20", "--log-every", "1", "--no-shuffle", "--dropout-scale", "0",
        "--convolution", "direct", "--quiet",
      ], ranks: 2, timeLimit: .seconds(180))
    #expect(result.exitCode == 0, "\(result)")
    let run = try #require(try FileManager.default.contentsOfDirectory(atPath: folder["runs"]).first)
    let lines = try String(contentsOfFile: folder["runs"] + "/\(run)/metrics.jsonl", encoding: .utf8).split(
      separator: "\n")
    let metrics = try lines.map {
      try #require(try JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any])
    }
    let losses = metrics.filter { $0["event"] as? String == "step" }.compactMap { $0["loss"] as? Double }
    #expect(losses.count == 20)
    for (step, (loss, expected)) in zip(losses, golden.losses).enumerated() {
      #expect(abs(loss - expected) <= 3e-4 * expected, "step \(step): \(loss), PyTorch \(expected)")
    }
    let atX = try #require(metrics.last { $0["event"] as? String == "evaluation" }?["loss"] as? Double)
    #expect(abs(atX - golden.loss_at_x) <= 3e-4 * golden.loss_at_x, "at x: \(atX), PyTorch \(golden.loss_at_x)")
  }
}

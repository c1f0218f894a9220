import Checkpoints
import Foundation
import Neural
import SystemPackage
import TestSupport
import Testing

@Suite("freewheel gradients")
struct GradientsTests {
  /// A batch for the MNIST network.
  private func writeBatch(_ path: String, labels: [Int64], count: Int = 3) throws {
    let images = (0..<count * 784).map { Float(($0 &* 7919) % 256) / 128 - 1 }
    try Safetensors.write(
      [
        TensorToWrite("images", shape: [count, 1, 28, 28], floats: images),
        TensorToWrite("labels", shape: [labels.count], integers: labels),
      ], to: FilePath(path))
  }

  /// Small weights of the MNIST network, and something that does not concern it.
  private func writeWeights(_ path: String) throws {
    let plan = try Plan(Models.mnist(), batchSize: 1)
    let tensors = plan.layout.tensors.map { tensor in
      TensorToWrite(tensor.name, shape: tensor.shape) { buffer in
        for index in buffer.indices { buffer[index] = Float((index &* 31 &+ tensor.offset) % 41 - 20) / 400 }
      }
    }
    try Safetensors.write(
      tensors + [TensorToWrite("bn.num_batches_tracked", shape: [], integers: [1])], to: FilePath(path))
  }

  private func gradients(_ folder: TemporaryFolder, _ more: [String] = []) async throws -> JobResult {
    try await MPIRunner.runAlone(
      "freewheel",
      [
        "gradients", "--model", "mnist", "--weights", folder["weights"], "--batch", folder["batch"], "--output",
        folder["gradients"],
      ] + more, timeLimit: .seconds(60))
  }

  @Test("Writes logits, the mean loss, and every parameter's gradient of it")
  func writes() async throws {
    let folder = try TemporaryFolder()
    try writeWeights(folder["weights"])
    try writeBatch(folder["batch"], labels: [3, 0, 9])
    let result = try await gradients(folder)
    #expect(result.exitCode == 0, "\(result)")
    let file = try SafetensorsFile(FilePath(folder["gradients"]))
    let logits = try file.floats("logits", shape: [3, 10]).map(Double.init)
    var (loss, bias) = (0.0, [Double](repeating: 0, count: 10))
    for (example, label) in [3, 0, 9].enumerated() {
      let row = logits[(example * 10)..<(example * 10 + 10)]
      let largest = row.max() ?? 0
      let exponentials = row.map { exp($0 - largest) }
      let sum = exponentials.reduce(0, +)
      loss += (log(sum) + largest - row[example * 10 + label]) / 3
      for (index, value) in exponentials.enumerated() { bias[index] += (value / sum - (index == label ? 1 : 0)) / 3 }
    }
    #expect(abs(Double(try file.floats("loss", shape: [])[0]) - loss) < 1e-5)
    for (found, expected) in zip(try file.floats("fc2.bias", shape: [10]), bias) {
      #expect(abs(Double(found) - expected) < 1e-5)
    }
    #expect(try file.floats("conv1.weight", shape: [32, 1, 3, 3]).contains { $0 != 0 })
    #expect(file.tensors.count == 10)
  }

  @Test("Refuses labels out of range, files that are not there, and models it does not know")
  func refuses() async throws {
    let folder = try TemporaryFolder()
    try writeWeights(folder["weights"])
    try writeBatch(folder["batch"], labels: [3, 0, 10])
    var results = [(try await gradients(folder), "label")]
    try writeBatch(folder["batch"], labels: [3, 0])
    results.append((try await gradients(folder), "labels"))
    try writeBatch(folder["batch"], labels: [3, 0, 1])
    results.append((try await gradients(folder, ["--weights", "nowhere"]), "nowhere"))
    results.append((try await gradients(folder, ["--model", "nonesuch"]), "nonesuch"))
    for (result, word) in results {
      #expect(result.exitCode != 0 && result.exitCode < 128, "\(result)")
      #expect(result.standardError.contains(word) && !result.standardError.contains("Fatal error"), "\(result)")
    }
    #expect(!FileManager.default.fileExists(atPath: folder["gradients"]))
  }
}

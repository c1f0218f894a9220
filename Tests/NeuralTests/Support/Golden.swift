import Checkpoints
import Foundation
import Neural
import SystemPackage

/// What PyTorch computed in double precision for a small network: `Goldens/NAME.safetensors`, see `generate.py` there.
struct Golden {
  let name: String
  /// All tensors of the file.
  let tensors: [String: [Float]]
  /// Shape of the batch.
  let inputShape: [Int]

  init(_ name: String) throws {
    self.name = name
    let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    let path = folder.appendingPathComponent("Goldens/\(name).safetensors").path
    let file = try SafetensorsFile(FilePath(path))
    var read: [String: [Float]] = [:]
    for tensor in file.tensors { read[tensor.name] = try file.floats(tensor.name) }
    tensors = read
    inputShape = try file.tensor("input").shape
  }

  /// A plan of the network with the file's batch, parameters and running statistics.
  func harness(_ model: Sequential, options: PlanOptions) throws -> Harness {
    let harness = try Harness(model, batchSize: inputShape[0], options: options)
    try harness.plan.fillInput(tensor("input"))
    for (index, label) in try tensor("labels").enumerated() { harness.plan.labels[index] = Int32(label) }
    for (index, parameter) in harness.plan.layout.tensors.enumerated() {
      try harness.setParameter(index, to: try tensor("parameter.\(parameter.name)"))
    }
    harness.plan.runningStatistics = try statistics("buffer", of: harness.plan)
    return harness
  }

  /// Running statistics in the plan's order.
  func statistics(_ prefix: String, of plan: Plan) throws -> [Float] {
    try plan.statistics.flatMap { try tensor("\(prefix).\($0.name)") }
  }

  func tensor(_ name: String) throws -> [Float] {
    guard let values = tensors[name] else { throw MissingTensor(name: name, golden: self.name) }
    return values
  }

  struct MissingTensor: Error {
    let name: String
    let golden: String
  }
}

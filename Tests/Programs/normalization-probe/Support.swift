import Checkpoints
import Datasets
import Foundation
import MPI
import Neural
import ProbeSupport
import SystemPackage
import Training

/// Colour patterns of four kinds, which lean to one side so that a mirror image is something else.
///
/// - Parameter mirrored: the test images with left and right exchanged.
func makeData(mirrored: Bool = false) throws -> TrainingData {
  func set(_ name: String, _ count: Int, _ seed: Int, mirrored: Bool = false) throws -> LabeledImages {
    let labels = (0..<count).map { UInt8(($0 &* 7 &+ seed) % 4) }
    let images = (0..<count).flatMap { image in
      (0..<108).map { element -> UInt8 in
        let (channel, row) = (element / 36, element / 6 % 6)
        let column = mirrored ? 5 - element % 6 : element % 6
        let original = channel * 36 + row * 6 + column
        let isBright = Int(labels[image]) == (channel + (row + 2 * column) / 5) % 4
        return UInt8((isBright ? 70 : 0) + (image &* 131 &+ original &* 29 &+ image &* original &+ seed) % 180)
      }
    }
    return try LabeledImages(
      name: name, images: images, labels: labels, channels: 3, height: 6, width: 6, classCount: 4)
  }
  return TrainingData(
    training: try set("training set", 100, 1), test: try set("test set", 70, 2, mirrored: mirrored),
    normalization: .cifar10, augmentation: Augmentation(cropPadding: 1, flip: .random))
}

/// What a run left behind.
struct Run {
  let folder: String
  /// What it reported; empty but on rank zero.
  let events: [TrainingEvent]

  var evaluations: [EvaluationMetrics] {
    events.compactMap { if case .evaluation(let metrics) = $0 { metrics } else { nil } }
  }
  var losses: [Double] { events.compactMap { if case .step(let metrics) = $0 { metrics.loss } else { nil } } }
  var notices: [String] { events.compactMap { if case .notice(let text) = $0 { text } else { nil } } }

  func checkpoint(_ step: Int) -> String { folder + String(format: "/checkpoints/step-%08d", step) }

  func bytes(_ file: String, step: Int) throws -> Data {
    try Data(contentsOf: URL(fileURLWithPath: checkpoint(step) + "/" + file + ".safetensors"))
  }

  func tensor(_ name: String, in file: String, step: Int) throws -> [Float] {
    try SafetensorsFile(FilePath(checkpoint(step) + "/" + file + ".safetensors")).floats(name)
  }
}

private final class Recorder: TrainingListener {
  var events: [TrainingEvent] = []
  func receive(_ event: TrainingEvent) { events.append(event) }
}

/// Trains in a folder of its own under `root`. Collective.
func train(
  _ name: String, _ flags: [String], data: TrainingData? = nil, root: String, on world: Communicator
) throws -> Run {
  let common = [
    "--batch-size", "8", "--log-every", "1", "--evaluate-every", "0", "--checkpoint-every", "0", "--keep", "9",
    "--learning-rate", "0.02", "--output", "\(root)/\(name)",
  ]
  let options = try world.agree(on: name) { try TrainingOptions.parse(overriding(common, with: flags)) }
  let recorder = Recorder()
  let trainer = try Trainer(
    normalizedNetwork, data: try data ?? makeData(), options: options, on: world, program: "normalization-probe",
    listeners: [recorder], printsProgress: false)
  let code = try trainer.run()
  let folder = trainer.runFolder
  try trainer.close()
  guard code == 0 else { throw Failure(description: "\(name) ended with code \(code)") }
  return Run(folder: folder, events: recorder.events)
}

/// `common`, without the pairs whose flag is given anew, and `flags`.
private func overriding(_ common: [String], with flags: [String]) -> [String] {
  stride(from: 0, to: common.count, by: 2).filter { !flags.contains(common[$0]) }.flatMap {
    [common[$0], common[$0 + 1]]
  } + flags
}

/// Copies the parameters of a model file, without the statistics and counts of its normalisations.
func writeWithoutStatistics(_ path: String, to copy: String) throws {
  let file = try SafetensorsFile(FilePath(path))
  let tensors = try file.tensors.filter { !$0.name.contains("running_") && !$0.name.contains("num_batches") }.map {
    TensorToWrite($0.name, shape: $0.shape, floats: try file.floats($0.name))
  }
  try Safetensors.write(tensors, to: FilePath(copy))
}

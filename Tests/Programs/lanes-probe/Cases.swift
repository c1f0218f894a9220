import Datasets
import Neural
import ProbeSupport
import Training

/// A network, its data and the flags that it is trained with.
struct Case: Sendable {
  let name: String
  let network: Sequential
  let flags: [String]
  /// Whether a few training examples are infinite: in their last channel, which is 0 everywhere else.
  var isPoisoned = false

  /// Images of the network's shape, of as many classes as it has outputs at most.
  func data() throws -> TrainingData {
    let shape = network.input
    func set(_ name: String, _ count: Int, _ seed: Int) throws -> LabeledImages {
      let labels = (0..<count).map { UInt8(($0 &* 7 &+ seed) % 3) }
      let area = shape[1] * shape[2]
      let size = shape[0] * area
      let images = (0..<count).flatMap { image in
        (0..<size).map { element -> UInt8 in
          if isPoisoned && element / area == shape[0] - 1 { return seed == 1 && image % 9 == 5 ? 255 : 0 }
          let isBright = element / shape[2] % 3 == Int(labels[image])
          return UInt8((isBright ? 90 : 0) + (image &* 131 &+ element &* 29 &+ image &* element &+ seed) % 150)
        }
      }
      return try LabeledImages(
        name: name, images: images, labels: labels, channels: shape[0], height: shape[1], width: shape[2],
        classCount: 3)
    }
    if isPoisoned {
      // The smallest deviation there is makes the brightest pixels infinite.
      let others = shape[0] - 1
      let normalization = Normalization(
        mean: [Float](repeating: 0.3, count: others) + [0],
        standardDeviation: [Float](repeating: 0.3, count: others) + [.leastNonzeroMagnitude])
      return TrainingData(
        training: try set("training set", 97, 1), test: try set("test set", 23, 2), normalization: normalization)
    }
    return TrainingData(
      training: try set("training set", 97, 1), test: try set("test set", 23, 2),
      normalization: shape[0] == 1 ? .mnist : .cifar10, augmentation: Augmentation(cropPadding: 1, flip: .random))
  }
}

private let dense = Sequential(input: [1, 5, 5]) {
  Flatten()
  Dense("in", 33)
  ReLU()
  Dropout(0.3)
  Dense("out", 3)
}

private let deep = Sequential(input: [2, 6, 6]) {
  Convolution("conv1", channels: 4, kernel: 3, padding: 1, bias: false)
  BatchNorm("bn1")
  ReLU()
  GlobalAveragePool()
  Dense("fc", 3)
}

/// Steps that meet an infinite example are skipped.
let skippingCases = [
  Case(
    name: "skipped", network: deep,
    flags: ["--batch-size", "3", "--statistics-batches", "0", "--on-nonfinite", "skip", "--nonfinite-limit", "5"],
    isPoisoned: true),
  Case(
    name: "skipped-flat", network: deep,
    flags: [
      "--batch-size", "1", "--accumulate", "3", "--statistics-batches", "0", "--on-nonfinite", "skip", "--exchange",
      "flat", "--optimizer", "schedulefree-plus", "--clip-norm", "1",
    ], isPoisoned: true),
]

/// They end the run.
let stoppingCases = [
  Case(name: "stopped", network: deep, flags: ["--batch-size", "3", "--statistics-batches", "0"], isPoisoned: true),
  Case(
    name: "stopped-flat", network: deep,
    flags: ["--batch-size", "3", "--statistics-batches", "0", "--exchange", "flat"], isPoisoned: true),
]

/// Quick ones; batch sizes have no common factor with the number of lanes.
let smallCases = [
  Case(name: "dense", network: dense, flags: ["--batch-size", "3"]),
  Case(name: "clipped", network: dense, flags: ["--batch-size", "5", "--accumulate", "2", "--clip-norm", "0.05"]),
  Case(
    name: "loss-and-sums", network: dense,
    flags: ["--batch-size", "7", "--optimizer", "schedulefree-plus", "--clip-norm", "0.5"]),
  Case(
    name: "loss-and-sums-flat", network: dense,
    flags: ["--batch-size", "1", "--optimizer", "schedulefree-plus", "--accumulate", "3", "--exchange", "flat"]),
  Case(
    name: "groups", network: dense,
    flags: [
      "--batch-size", "2", "--no-decay", "*.bias", "--learning-rate-factor", "out*=0.5", "--freeze", "in*=2",
      "--clip-norm", "0.1", "--last-batch", "wrap",
    ]),
  Case(
    name: "normalized", network: normalizedNetwork,
    flags: ["--batch-size", "3", "--accumulate", "2", "--statistics-batches", "2"]),
  Case(
    name: "normalized-flat", network: normalizedNetwork,
    flags: ["--batch-size", "2", "--exchange", "flat", "--statistics-batches", "0", "--evaluate-views", "mirrored"]),
]

/// The networks of the examples.
let largeCases = [
  Case(name: "mnist", network: Models.mnist(), flags: ["--batch-size", "3", "--clip-norm", "0.5"]),
  Case(
    name: "mnist-bfloat16", network: Models.mnist(),
    flags: ["--batch-size", "2", "--precision", "bfloat16", "--exchange", "flat"]),
  Case(name: "resnet20", network: Models.resNet20(), flags: ["--batch-size", "2", "--statistics-batches", "2"]),
  Case(
    name: "resnet20-bfloat16", network: Models.resNet20(),
    flags: ["--batch-size", "3", "--accumulate", "2", "--precision", "bfloat16", "--statistics-batches", "2"]),
  Case(name: "vit-tiny", network: Models.vitTiny(), flags: ["--batch-size", "3"]),
  Case(
    name: "vit-tiny-bfloat16", network: Models.vitTiny(),
    flags: ["--batch-size", "1", "--accumulate", "2", "--precision", "bfloat16", "--exchange", "flat"]),
]

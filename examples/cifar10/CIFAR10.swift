// Trains one of the networks that optimizers are usually judged by on CIFAR-10.
//
//   launch/run cifar10                                    ResNet-20 on all cores of this machine
//   launch/run cifar10 -n 2 -- --data FOLDER --model resnet18 --precision bfloat16

import ArgumentParser
import Datasets
import MPI
import Neural
import Training

@main
struct CIFAR10: ParallelCommand {
  static let configuration = CommandConfiguration(
    abstract: "Trains a convolutional network or a transformer on CIFAR-10, on all ranks of an MPI job.",
    discussion: """
      Without --data it takes data/cifar10 if that is there, and otherwise draws coloured shapes of its own to train on.
      Unless told otherwise, training images are padded by 4 pixels, cut to 32x32 at random, and mirrored at random.
      """)

  /// Names of the networks for 32×32 colour images.
  static let models = Models.byName.keys.filter { $0 != "mnist" }.sorted()

  @Option(help: "The network: \(models.joined(separator: "|")).")
  var model: String = "resnet20"

  @Option(help: "Channels of the three blocks of the network 'whitened'. (default: 64,256,256)", transform: widths)
  var widths: [Int]?

  @Option(
    help: "A set of flags, which others given besides override: \(Recipe.allValueStrings.joined(separator: "|")).")
  var recipe: Recipe?

  @OptionGroup(title: "Augmentation") var augmentation: AugmentationFlags
  @OptionGroup var training: TrainingOptions

  func validate() throws {
    guard Self.models.contains(model) else {
      throw ValidationError("--model is '\(model)'; expected \(Self.models.joined(separator: ", "))")
    }
    guard widths == nil || model == "whitened" else {
      throw ValidationError("--widths are those of the network 'whitened'; --model is '\(model)'")
    }
  }

  func run(on world: Communicator) throws -> Int32 {
    guard var network = Models.byName[model]?() else { throw CleanExit.helpRequest(self) }
    var data = try world.agree(on: "data") { try TrainingData.cifar10(folder: training.data) }
    data.augmentation = augmentation.applied(to: .cifar10)
    var initialValues: [String: [Float]] = [:]
    if model == "whitened" {
      if let widths { network = Models.whitenedNet(widths: widths) }
      initialValues["whiten.weight"] = try world.agree(on: "the first layer's filters") {
        try PatchWhitening.filters(
          images: data.normalizedTrainingImages(2000), shape: network.input, kernel: 3, filters: 32, epsilon: 5e-4)
      }
    }
    return try Trainer(network, data: data, options: training, on: world, initialValues: initialValues).run()
  }

  static func expanded(_ arguments: [String]) throws -> [String] { try Recipe.expanded(arguments) }

  @Sendable private static func widths(_ text: String) throws -> [Int] {
    let widths = text.split(separator: ",").compactMap { Int($0) }.filter { $0 >= 1 && $0 <= 4096 }
    guard widths.count == 3, text.split(separator: ",", omittingEmptySubsequences: false).count == 3 else {
      throw ValidationError("--widths is '\(text)'; expected three numbers of channels, such as 64,256,256")
    }
    return widths
  }
}

// Trains the network of the schedulefree package's MNIST example on handwritten digits.
//
//   launch/run mnist                                   on all cores of this machine
//   launch/run mnist -n 2 -- --data FOLDER --epochs 14

import ArgumentParser
import MPI
import Neural
import Training

@main
struct MNIST: ParallelCommand {
  static let configuration = CommandConfiguration(
    abstract:
      "Trains a small convolutional network on MNIST with a Schedule-Free optimizer, on all ranks of an MPI job.",
    discussion:
      "Without --data it takes data/mnist if that is there, and otherwise draws digits of its own to train on.")

  @OptionGroup var training: TrainingOptions

  func run(on world: Communicator) throws -> Int32 {
    let network = Sequential(input: [1, 28, 28]) {
      Convolution("conv1", channels: 32, kernel: 3)
      ReLU()
      Convolution("conv2", channels: 64, kernel: 3)
      ReLU()
      MaxPool(2)
      Dropout(0.25)
      Flatten()
      Dense("fc1", 128)
      ReLU()
      Dropout(0.5)
      Dense("fc2", 10)
    }
    let data = try world.agree(on: "data") { try TrainingData.mnist(folder: training.data) }
    return try Trainer(network, data: data, options: training, on: world).run()
  }
}

import Testing
import Neural

/// A network, a batch size, and why this one.
struct NetworkCase: Sendable, CustomTestStringConvertible {
  let name: String
  let batch: Int
  let model: Sequential
  var testDescription: String { name }

  init(_ name: String, batch: Int, input: [Int], @LayerBuilder _ layers: () -> [any Layer]) {
    self.name = name
    self.batch = batch
    model = Sequential(input: input, layers: layers)
  }

  /// Every layer, in every neighbourhood that is compiled in a way of its own, at uneven sizes.
  static let all: [NetworkCase] = [
    NetworkCase("dense alone, one example", batch: 1, input: [7]) { Dense("fc", 3) },
    NetworkCase("dense without bias", batch: 5, input: [13]) { Dense("fc", 2, bias: false) },
    NetworkCase("dense, ReLU, dense", batch: 3, input: [11]) {
      Dense("fc1", 17)
      ReLU()
      Dense("fc2", 5)
    },
    NetworkCase("ReLU before any parameter, and twice in a row", batch: 3, input: [11]) {
      ReLU()
      Dense("fc1", 7)
      ReLU()
      ReLU()
      Dense("fc2", 3)
    },
    NetworkCase("image into dense", batch: 3, input: [3, 5, 4]) {
      Flatten()
      Dense("fc", 3)
    },
    NetworkCase("7 to 13 channels, padded", batch: 5, input: [7, 6, 5]) {
      Convolution("conv", channels: 13, kernel: 3, padding: 1)
      Flatten()
      Dense("fc", 3)
    },
    NetworkCase("7 to 13 to 5 channels, ReLU between", batch: 3, input: [7, 8, 7]) {
      Convolution("conv1", channels: 13, kernel: 3)
      ReLU()
      Convolution("conv2", channels: 5, kernel: 3)
      ReLU()
      Flatten()
      Dense("fc", 3)
    },
    NetworkCase("stride 2", batch: 3, input: [1, 9, 8]) {
      Convolution("conv1", channels: 13, kernel: 3, stride: 2, padding: 1)
      ReLU()
      Convolution("conv2", channels: 7, kernel: 3, stride: 2, bias: false)
      Flatten()
      Dense("fc", 3)
    },
    NetworkCase("overlapping, padded pooling", batch: 3, input: [3, 9, 9]) {
      Convolution("conv", channels: 7, kernel: 3)
      ReLU()
      MaxPool(3, stride: 2, padding: 1)
      Flatten()
      Dense("fc", 3)
    },
    NetworkCase("pooling in front", batch: 3, input: [16, 9, 8]) {
      MaxPool(2)
      ReLU()
      Convolution("conv", channels: 16, kernel: 3)
      MaxPool(2, stride: 1)
      Flatten()
      Dense("fc", 3)
    },
    NetworkCase("pooling of blocks, odd rows and columns, no ReLU", batch: 3, input: [16, 9, 7]) {
      Convolution("conv1", channels: 16, kernel: 3, padding: 1)
      Convolution("conv2", channels: 32, kernel: 3)
      MaxPool(2)
      Flatten()
      Dense("fc", 3)
    },
    NetworkCase("pooling of blocks behind a first convolution", batch: 5, input: [1, 10, 11]) {
      Convolution("conv1", channels: 16, kernel: 3)
      ReLU()
      MaxPool(2)
      Flatten()
      Dense("fc", 3)
    },
    NetworkCase("padding 1 behind a pooling's gradient", batch: 3, input: [3, 8, 9]) {
      Convolution("conv1", channels: 16, kernel: 3)
      ReLU()
      Convolution("conv2", channels: 32, kernel: 3, padding: 1)
      ReLU()
      MaxPool(2)
      Convolution("conv3", channels: 16, kernel: 1, bias: false)
      MaxPool(2)
      Flatten()
      Dense("fc", 3)
    },
    NetworkCase("windows of 3 and of 4 behind convolutions of blocks", batch: 3, input: [16, 26, 25]) {
      Convolution("conv1", channels: 32, kernel: 3, padding: 1)
      ReLU()
      MaxPool(3)
      Convolution("conv2", channels: 16, kernel: 3, padding: 1)
      ReLU()
      MaxPool(4)
      Flatten()
      Dense("fc", 3)
    },
    NetworkCase("5 × 5 with padding 2, ReLU on a linear sum", batch: 1, input: [16, 8, 6]) {
      Convolution("conv1", channels: 16, kernel: 1)
      Convolution("conv2", channels: 16, kernel: 5, padding: 2)
      ReLU()
      MaxPool(2)
      Flatten()
      Dense("fc", 2)
    },
    twoReLUs[0], twoReLUs[1],
    NetworkCase("the MNIST network, smaller images", batch: 3, input: [1, 12, 12]) {
      Convolution("conv1", channels: 32, kernel: 3)
      ReLU()
      Convolution("conv2", channels: 64, kernel: 3)
      ReLU()
      MaxPool(2)
      Dropout(0.25)
      Flatten()
      Dense("fc1", 24)
      ReLU()
      Dropout(0.5)
      Dense("fc2", 10)
    },
  ]

  /// Of two ReLUs only one can go into the pooling's pass.
  static let twoReLUs: [NetworkCase] = [
    pooledDropout("ReLU, dropout, ReLU behind a pooling of blocks", channels: 16) {
      MaxPool(2)
      ReLU()
      Dropout(0.5)
      ReLU()
    },
    pooledDropout("ReLU before a pooling, dropout and ReLU behind it", channels: 7) {
      ReLU()
      MaxPool(2)
      Dropout(0.5)
      ReLU()
    },
  ]

  /// A pooling with what is given around it, between a convolution and a dense layer.
  static func pooledDropout(
    _ name: String, channels: Int, @LayerBuilder _ layers: () -> [any Layer]
  ) -> NetworkCase {
    let middle = layers()
    return NetworkCase(name, batch: 3, input: [3, 9, 8]) {
      Convolution("conv", channels: channels, kernel: 3, padding: 1)
      middle
      Flatten()
      Dense("fc", 3)
    }
  }

  /// The last of `all`.
  static var smallMNIST: NetworkCase { all[all.count - 1] }
}

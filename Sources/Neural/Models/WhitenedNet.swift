extension Models {
  /// A shallow, wide network for reaching a good accuracy on CIFAR-10 in little time: a first layer that whitens
  /// patches, then three blocks of two, two and four convolutions, all but the first of a
  /// block residual. After the networks of Keller Jordan, "94% on CIFAR-10 in 3.29
  /// seconds on a single GPU" (arXiv 2404.00498), and David Page before him.
  ///
  /// Input 3 × 32 × 32, ten classes. `whiten.weight` is to be set from the training images (``PatchWhitening``) and is
  /// not trained. Sizes are such that Winograd's tiles of 4 × 4 have no remainder: 32, 16, 8 and 4.
  ///
  /// - Parameter widths: channels of the three blocks.
  public static func whitenedNet(widths: [Int] = [64, 256, 256]) -> Sequential {
    Sequential(input: [3, 32, 32]) {
      Convolution("whiten", channels: 32, kernel: 3, padding: 1, bias: false, trainable: false)
      GELU(approximation: .tanh)
      for (index, width) in widths.enumerated() {
        Convolution(
          "block\(index + 1).conv1", channels: width, kernel: 3, padding: 1, bias: false, initializer: .dirac)
        MaxPool(2)
        BatchNorm("block\(index + 1).bn1")
        GELU(approximation: .tanh)
        // At 4 × 4 a convolution costs a twentieth of the whole: two more pay.
        for number in 2...(index == widths.count - 1 ? 4 : 2) {
          Residual {
            Convolution(
              "block\(index + 1).conv\(number)", channels: width, kernel: 3, padding: 1, bias: false,
              initializer: .dirac)
            BatchNorm("block\(index + 1).bn\(number)")
            GELU(approximation: .tanh)
          }
        }
      }
      MaxPool(4)
      Flatten()
      Dense("fc", 10, bias: false)
      Scale(1.0 / 9)
    }
  }
}

extension Models {
  /// ResNet-20 for CIFAR (He et al. 2015, section 4.2): 16, 32 and 64 channels, three blocks each; 0.27 million
  /// parameters.
  ///
  /// Input 3 × 32 × 32, ten classes. Where a block changes the shape its shortcut is a projection (their option B).
  /// Parameters are named as torchvision's.
  public static func resNet20() -> Sequential { resNet(stem: 16, widths: [16, 32, 64], blocks: 3) }

  /// ResNet-18 for CIFAR: 64, 128, 256 and 512 channels, two blocks each, no max-pooling behind the first convolution;
  /// 11.2 million parameters.
  ///
  /// Input 3 × 32 × 32, ten classes. Parameters are named as torchvision's.
  public static func resNet18() -> Sequential { resNet(stem: 64, widths: [64, 128, 256, 512], blocks: 2) }

  private static func resNet(stem: Int, widths: [Int], blocks: Int) -> Sequential {
    Sequential(input: [3, 32, 32]) {
      convolution("conv1", stem, kernel: 3)
      BatchNorm("bn1")
      ReLU()
      for (stage, width) in widths.enumerated() {
        for block in 0..<blocks {
          basicBlock(
            "layer\(stage + 1).\(block)", width, stride: stage > 0 && block == 0 ? 2 : 1,
            projects: block == 0 && (stage > 0 || width != stem))
        }
      }
      GlobalAveragePool()
      Dense("fc", 10)
    }
  }

  /// Two convolutions, each normalised, and the input added before the last ReLU.
  private static func basicBlock(_ name: String, _ width: Int, stride: Int, projects: Bool) -> [any Layer] {
    let block = Residual {
      convolution("\(name).conv1", width, kernel: 3, stride: stride)
      BatchNorm("\(name).bn1")
      ReLU()
      convolution("\(name).conv2", width, kernel: 3)
      BatchNorm("\(name).bn2")
    } shortcut: {
      if projects {
        convolution("\(name).downsample.0", width, kernel: 1, stride: stride)
        BatchNorm("\(name).downsample.1")
      }
    }
    return [block, ReLU()]
  }

  /// A convolution that keeps height and width but for its stride, without bias: a normalisation follows. Weights start
  /// as in the paper, for ReLU.
  static func convolution(_ name: String, _ channels: Int, kernel: Int, stride: Int = 1) -> Convolution {
    Convolution(
      name, channels: channels, kernel: kernel, stride: stride, padding: kernel / 2, bias: false,
      initializer: .kaimingNormalFanOut)
  }
}

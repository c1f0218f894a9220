extension Models {
  /// WRN-16-8 (Zagoruyko and Komodakis, "Wide residual networks", BMVC 2016): normalisation and ReLU come before each
  /// convolution; 128, 256 and 512 channels, two blocks each; 11 million parameters.
  ///
  /// Input 3 × 32 × 32, ten classes. Parameters are named `block1.layer.0.conv1` and so on.
  public static func wideResNet16x8() -> Sequential {
    Sequential(input: [3, 32, 32]) {
      convolution("conv1", 16, kernel: 3)
      for (stage, width) in [128, 256, 512].enumerated() {
        projectingBlock("block\(stage + 1).layer.0", width, stride: stage == 0 ? 1 : 2)
        Residual {
          BatchNorm("block\(stage + 1).layer.1.bn1")
          ReLU()
          convolutions("block\(stage + 1).layer.1", width, stride: 1)
        }
      }
      BatchNorm("bn1")
      ReLU()
      GlobalAveragePool()
      Dense("fc", 10)
    }
  }

  /// A block that changes the shape: its projection, too, reads what was normalised and rectified.
  private static func projectingBlock(_ name: String, _ width: Int, stride: Int) -> [any Layer] {
    [
      BatchNorm("\(name).bn1"), ReLU(),
      Residual {
        convolutions(name, width, stride: stride)
      } shortcut: {
        convolution("\(name).convShortcut", width, kernel: 1, stride: stride)
      },
    ]
  }

  private static func convolutions(_ name: String, _ width: Int, stride: Int) -> [any Layer] {
    [
      convolution("\(name).conv1", width, kernel: 3, stride: stride), BatchNorm("\(name).bn2"), ReLU(),
      convolution("\(name).conv2", width, kernel: 3),
    ]
  }
}

extension Models {
  /// A shallow, wide residual network for training in little time (David Page, "How to train your ResNet", 2018): 64 to
  /// 512 channels, 6.6 million parameters.
  ///
  /// Input 3 × 32 × 32, ten classes.
  public static func resNet9() -> Sequential {
    Sequential(input: [3, 32, 32]) {
      normalizedConvolution("prep", 64)
      normalizedConvolution("layer1", 128)
      MaxPool(2)
      residual("layer1.residual", 128)
      normalizedConvolution("layer2", 256)
      MaxPool(2)
      normalizedConvolution("layer3", 512)
      MaxPool(2)
      residual("layer3.residual", 512)
      MaxPool(4)
      Flatten()
      Dense("fc", 10, bias: false)
      Scale(0.125)
    }
  }

  private static func residual(_ name: String, _ width: Int) -> Residual {
    Residual {
      normalizedConvolution("\(name).0", width)
      normalizedConvolution("\(name).1", width)
    }
  }

  private static func normalizedConvolution(_ name: String, _ width: Int) -> [any Layer] {
    [convolution("\(name).conv", width, kernel: 3), BatchNorm("\(name).bn"), ReLU()]
  }
}

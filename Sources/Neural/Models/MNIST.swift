extension Models {
  /// The network of the schedule_free package's MNIST example (and of PyTorch's): 1.2 million parameters, named as
  /// there.
  ///
  /// Input 1 × 28 × 28, ten classes.
  public static func mnist() -> Sequential {
    Sequential(input: [1, 28, 28]) {
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
  }
}

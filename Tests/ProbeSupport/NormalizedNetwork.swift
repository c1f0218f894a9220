import Neural

/// A small network with normalisations in all the places that matter, behind a convolution, in a block and in its
/// shortcut, and dropout. Input 3 × 6 × 6, four classes.
public let normalizedNetwork = Sequential(input: [3, 6, 6]) {
  Convolution("conv1", channels: 4, kernel: 3, padding: 1, bias: false)
  BatchNorm("bn1")
  ReLU()
  Residual {
    Convolution("block.conv", channels: 8, kernel: 3, stride: 2, padding: 1, bias: false)
    BatchNorm("block.bn")
  } shortcut: {
    Convolution("block.shortcut.0", channels: 8, kernel: 1, stride: 2, bias: false)
    BatchNorm("block.shortcut.1")
  }
  ReLU()
  Dropout(0.1)
  GlobalAveragePool()
  Dense("fc", 4)
}

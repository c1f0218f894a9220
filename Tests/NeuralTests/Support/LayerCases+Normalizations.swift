import Neural

// Batch and layer normalisation, alone and in residual blocks.
extension NetworkCase {
  static let normalizations: [NetworkCase] =
    [
      NetworkCase("batch norm, one example", batch: 1, input: [3, 5, 7]) {
        projected("conv1", 7)
        BatchNorm("bn1")
        projected("conv2", 17)
        BatchNorm("bn2", epsilon: 1e-3, momentum: 0.3)
        Flatten()
        Dense("fc", 3)
      },
      NetworkCase("batch norm in front", batch: 2, input: [3, 5, 7]) {
        BatchNorm("bn")
        ReLU()
        Flatten()
        Dense("fc", 3)
      },
      NetworkCase("batch norm of features", batch: 3, input: [3, 5, 7]) {
        projected("conv", 5)
        Flatten()
        BatchNorm("bn1")
        ReLU()
        Dense("fc1", 13)
        BatchNorm("bn2")
        Dense("fc2", 3)
      },
      NetworkCase("batch norm, ReLU, dropout", batch: 2, input: [3, 5, 7]) {
        projected("conv", 19)
        BatchNorm("bn")
        ReLU()
        Dropout(0.3)
        Flatten()
        Dense("fc", 3)
      },
      NetworkCase("batch norm, ReLU, pooling", batch: 2, input: [3, 5, 7]) {
        projected("conv1", 16)
        BatchNorm("bn1")
        ReLU()
        MaxPool(2)
        projected("conv2", 7)
        BatchNorm("bn2")
        ReLU()
        MaxPool(2)
        Flatten()
        Dense("fc", 3)
      },
      NetworkCase("layer norm of features", batch: 2, input: [13]) {
        LayerNorm("norm1")
        Dense("fc1", 19)
        LayerNorm("norm2", epsilon: 1e-3)
        ReLU()
        Dense("fc2", 3)
      },
    ]
    + activationLayers.map { activation in
      NetworkCase("batch norm, \(activation.name)", batch: 2, input: [3, 5, 7]) {
        projected("conv1", 17)
        BatchNorm("bn1")
        [activation.layer]
        projected("conv2", 5)
        BatchNorm("bn2")
        [activation.layer]
        Flatten()
        Dense("fc", 3)
      }
    }

  static let residualBlocks: [NetworkCase] =
    activationLayers.map { activation in
      NetworkCase("residual sum, batch norm, \(activation.name)", batch: 2, input: [3, 5, 7]) {
        projected("conv1", 17)
        BatchNorm("bn1")
        [activation.layer]
        Residual {
          projected("conv2", 17)
          BatchNorm("bn2")
          [activation.layer]
          projected("conv3", 17)
          BatchNorm("bn3")
        }
        [activation.layer]
        Residual {
          projected("conv4", 5, stride: 2)
          BatchNorm("bn4")
        } shortcut: {
          Convolution("downsample.0", channels: 5, kernel: 1, stride: 2, bias: false)
          BatchNorm("downsample.1")
        }
        [activation.layer]
        Flatten()
        Dense("fc", 3)
      }
    } + [
      NetworkCase("residual block without an activation behind it", batch: 2, input: [3, 5, 7]) {
        projected("conv1", 7)
        Residual {
          projected("conv2", 7)
          BatchNorm("bn2")
        }
        Residual {
          projected("conv3", 7)
          BatchNorm("bn3")
        }
        Flatten()
        Dense("fc", 3)
      },
      NetworkCase("residual block of the batch", batch: 2, input: [3, 5, 7]) {
        Residual {
          projected("conv", 3)
          BatchNorm("bn")
          ReLU()
        }
        Flatten()
        Dense("fc", 3)
      },
      NetworkCase("pre-activation, with projection and without", batch: 2, input: [3, 5, 7]) {
        projected("conv1", 5)
        BatchNorm("bn1")
        ReLU()
        Residual {
          projected("conv2", 19, stride: 2)
        } shortcut: {
          Convolution("convShortcut", channels: 19, kernel: 1, stride: 2, bias: false)
        }
        Residual {
          BatchNorm("bn2")
          ReLU()
          projected("conv3", 19)
        }
        BatchNorm("bn3")
        ReLU()
        GlobalAveragePool()
        Dense("fc", 3)
      },
      NetworkCase("residual block that ends in an activation", batch: 2, input: [3, 5, 7]) {
        projected("conv1", 7)
        Residual {
          projected("conv2", 7)
          BatchNorm("bn")
          ReLU()
        }
        Residual {
          projected("conv3", 7)
          ReLU()
        }
        MaxPool(2)
        Flatten()
        Dense("fc", 3)
      },
      NetworkCase("residual blocks that end in dropout", batch: 2, input: [3, 5, 7]) {
        projected("conv1", 7)
        Residual {
          projected("conv2", 7)
          Dropout(0.4)
        }
        Residual {
          projected("conv3", 7)
          ReLU()
          Dropout(0.4)
        }
        Residual { Dropout(0.5) }
        Flatten()
        Residual {
          Dense("fc1", 245)
          Dropout(0.3)
        }
        Dense("fc", 3)
      },
      NetworkCase("a block in a block, three readers of one normalisation", batch: 2, input: [3, 5, 7]) {
        projected("conv1", 7)
        BatchNorm("bn1")
        SiLU()
        Residual {
          Residual {
            projected("conv2", 7)
            BatchNorm("bn2")
          } shortcut: {
            Scale(0.5)
          }
        } shortcut: {
          Residual { projected("conv3", 7) }
        }
        ReLU()
        Flatten()
        Dense("fc", 3)
      },
    ]
}

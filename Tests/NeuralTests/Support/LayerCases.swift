import Neural

// Networks around one layer each, or around one way in which layers are compiled together, at odd sizes: channels that
// are no multiples of a block, images of 5 × 7, batches of one to three.
extension NetworkCase {
  static let layers: [NetworkCase] =
    normalizations + residualBlocks + poolings + activations + tokens + shapes + convolutions

  /// The activations, by name.
  private static let activationLayers: [(name: String, layer: any Layer)] = [
    ("ReLU", ReLU()), ("GELU, tanh", GELU(approximation: .tanh)), ("GELU", GELU()), ("SiLU", SiLU()),
  ]

  private static func projected(_ name: String, _ channels: Int, stride: Int = 1) -> Convolution {
    Convolution(name, channels: channels, kernel: 3, stride: stride, padding: 1, bias: false)
  }

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

  static let poolings: [NetworkCase] = [
    NetworkCase("average poolings", batch: 2, input: [3, 9, 7]) {
      projected("conv1", 7)
      AveragePool(2)
      projected("conv2", 17)
      AveragePool(3, stride: 2, padding: 1)
      Flatten()
      Dense("fc", 3)
    },
    NetworkCase("average pooling in front, global pooling behind", batch: 2, input: [3, 5, 7]) {
      AveragePool(2, stride: 1)
      projected("conv", 17)
      ReLU()
      GlobalAveragePool()
      Dense("fc", 3)
    },
    NetworkCase("global pooling, layer norm, residual block of features", batch: 2, input: [3, 5, 7]) {
      projected("conv", 17)
      GlobalAveragePool()
      LayerNorm("norm")
      Residual {
        Dense("fc1", 17)
        ReLU()
      }
      Dense("fc2", 3)
    },
    NetworkCase("global pooling, residual block", batch: 2, input: [3, 5, 7]) {
      projected("conv", 17)
      GlobalAveragePool()
      Residual {
        Dense("fc1", 17)
        Dropout(0.3)
      }
      Dense("fc2", 3)
    },
    NetworkCase("global pooling gives the logits", batch: 2, input: [3, 5, 7]) {
      projected("conv1", 7)
      ReLU()
      projected("conv2", 3)
      GlobalAveragePool()
    },
  ]

  static let activations: [NetworkCase] =
    activationLayers.dropFirst().flatMap { activation in
      [
        NetworkCase("\(activation.name) of images and features", batch: 2, input: [3, 5, 7]) {
          projected("conv1", 7)
          [activation.layer]
          MaxPool(2)
          Flatten()
          Dense("fc1", 19)
          [activation.layer]
          Dense("fc2", 3)
        },
        NetworkCase("\(activation.name) and dropout", batch: 3, input: [3, 5, 7]) {
          projected("conv1", 7)
          [activation.layer]
          Dropout(0.3)
          projected("conv2", 16)
          BatchNorm("bn")
          [activation.layer]
          Dropout(0.2)
          Flatten()
          Dense("fc1", 19)
          [activation.layer]
          Dropout(0.5)
          Dense("fc2", 3)
        },
      ]
    } + [
      NetworkCase("activation in front, factors", batch: 2, input: [3, 5, 7]) {
        Scale(1.5)
        SiLU()
        projected("conv", 7)
        Scale(-0.75)
        Flatten()
        Dense("fc", 3)
        Scale(0.125)
      }
    ]

  static let tokens: [NetworkCase] = [
    NetworkCase("transformer with dropout everywhere", batch: 3, input: [3, 7, 5]) {
      PatchEmbedding("patch_embedding", features: 20, patch: 2)
      PositionEmbedding(sineCosineOfRows: 3)
      ClassToken("class_token")
      for block in 0..<2 {
        Residual {
          LayerNorm("blocks.\(block).norm1", epsilon: 1e-6)
          MultiHeadSelfAttention("blocks.\(block).attention", heads: 4, dropout: 0.3)
        }
        Residual {
          LayerNorm("blocks.\(block).norm2", epsilon: 1e-6)
          Dense("blocks.\(block).linear1", 38)
          GELU(approximation: .tanh)
          Dropout(0.3)
          Dense("blocks.\(block).linear2", 20)
          Dropout(0.3)
        }
      }
      TokenSelection(0)
      Dense("fc", 3)
    },
    NetworkCase("one head of prime width, one example", batch: 1, input: [3, 5, 7]) {
      PatchEmbedding("patch_embedding", features: 13, patch: 3)
      PositionEmbedding("position_embedding")
      MultiHeadSelfAttention("attention", heads: 1)
      Flatten()
      Dense("fc", 3)
    },
    NetworkCase("attention with dropout, no residual", batch: 2, input: [3, 5, 7]) {
      PatchEmbedding("patch_embedding", features: 21, patch: 1)
      Dropout(0.2)
      MultiHeadSelfAttention("attention1", heads: 3, dropout: 0.5)
      MultiHeadSelfAttention("attention2", heads: 7, dropout: 0.1)
      TokenSelection(34)
      Dense("fc", 3)
    },
    NetworkCase("normalisations of tokens", batch: 3, input: [3, 6, 4]) {
      PatchEmbedding("patch_embedding", features: 19, patch: 2)
      BatchNorm("bn")
      ReLU()
      Residual { LayerNorm("norm1") }
      Dense("linear", 11)
      ReLU()
      Dropout(0.3)
      LayerNorm("norm2")
      Flatten()
      BatchNorm("bn2")
      Dense("fc", 3)
    },
    NetworkCase("patches of a feature map, a token selected behind layers of tokens", batch: 2, input: [3, 7, 5]) {
      projected("conv", 7)
      BatchNorm("bn")
      SiLU()
      PatchEmbedding("patch_embedding", features: 16, patch: 2)
      Residual {
        LayerNorm("norm1")
        Dense("linear1", 24)
        SiLU()
      } shortcut: {
        Dense("linear2", 24)
      }
      Residual {
        LayerNorm("norm2")
        MultiHeadSelfAttention("attention", heads: 3, dropout: 0.2)
      }
      LayerNorm("norm3")
      ReLU()
      Dropout(0.2)
      Scale(1.5)
      TokenSelection(4)
      Dense("fc", 3)
    },
    NetworkCase("tokens give the logits", batch: 2, input: [3, 5, 7]) {
      PatchEmbedding("patch_embedding", features: 8, patch: 3)
      Residual { MultiHeadSelfAttention("attention", heads: 2) }
      Dense("linear", 5)
      TokenSelection(1)
      Scale(2)
    },
    NetworkCase("tokens of an image that is not trained", batch: 2, input: [3, 6, 4]) {
      PatchEmbedding("patch_embedding", features: 12, patch: 2)
      ClassToken("class_token")
      PositionEmbedding("position_embedding")
      Residual {
        Dense("linear1", 12)
        SiLU()
      } shortcut: {
        Dense("linear2", 12, bias: false)
      }
      TokenSelection(3)
      Dense("fc", 3)
    },
  ]

  static let shapes: [NetworkCase] = [
    NetworkCase("layer norm of a flattened image", batch: 2, input: [3, 5, 7]) {
      projected("conv", 7)
      Flatten()
      LayerNorm("norm")
      Dense("fc", 3)
    },
    NetworkCase("residual block of a flattened image", batch: 2, input: [3, 5, 7]) {
      projected("conv", 17)
      Flatten()
      Residual {
        Dense("fc1", 595)
        GELU()
      }
      Dense("fc2", 3)
    },
    NetworkCase("a convolution gives the logits", batch: 2, input: [3, 5, 7]) {
      projected("conv1", 7)
      ReLU()
      MaxPool(3, stride: 2)
      Convolution("conv2", channels: 1, kernel: 2)
      Flatten()
    },
    NetworkCase("a residual block gives the logits", batch: 3, input: [13]) {
      Dense("fc1", 5)
      Residual {
        ReLU()
        Dense("fc2", 5)
      }
    },
    NetworkCase("an activation gives the logits", batch: 3, input: [3, 5, 7]) {
      projected("conv", 2)
      BatchNorm("bn")
      GELU(approximation: .tanh)
      AveragePool(5, stride: 2)
      Flatten()
      Dense("fc", 5)
      SiLU()
    },
  ]

  static let convolutions: [NetworkCase] = [
    NetworkCase("groups and depths", batch: 2, input: [3, 5, 7]) {
      projected("conv1", 10)
      Convolution("conv2", channels: 15, kernel: 3, padding: 1, groups: 5)
      ReLU()
      Convolution("conv3", channels: 15, kernel: 3, stride: 2, padding: 1, bias: false, groups: 15)
      BatchNorm("bn")
      Flatten()
      Dense("fc", 3)
    },
    NetworkCase("a first layer that is not trained", batch: 2, input: [3, 5, 7]) {
      Convolution("whiten", channels: 16, kernel: 3, padding: 1, trainable: false)
      GELU(approximation: .tanh)
      Convolution("conv", channels: 7, kernel: 3, padding: 1, initializer: .dirac)
      MaxPool(2)
      BatchNorm("bn")
      Flatten()
      Dense("fc", 3)
    },
    NetworkCase("a normalisation behind a layer that is not trained", batch: 2, input: [3, 5, 7]) {
      Convolution("whiten", channels: 7, kernel: 3, padding: 1, bias: false, trainable: false)
      BatchNorm("bn1")
      Residual {
        projected("conv", 7)
        BatchNorm("bn2")
      }
      GELU(approximation: .tanh)
      GlobalAveragePool()
      Dense("fc", 3)
    },
    NetworkCase("a layer in the middle that is not trained", batch: 2, input: [3, 5, 7]) {
      projected("conv1", 16)
      ReLU()
      Convolution("fixed", channels: 16, kernel: 3, padding: 1, trainable: false)
      ReLU()
      MaxPool(2)
      Flatten()
      Dense("fc", 3)
    },
  ]
}

extension Sequential {
  /// Whether there are ReLUs or max-poolings.
  var hasKinks: Bool {
    func hasKinks(_ layers: [any Layer]) -> Bool {
      layers.contains { layer in
        if let residual = layer as? Residual { return hasKinks(residual.body + residual.shortcut) }
        return layer is ReLU || layer is MaxPool
      }
    }
    return hasKinks(layers)
  }

  /// Names of parameters that get no gradient.
  var untrainedNames: Set<String> {
    func names(_ layers: [any Layer]) -> [String] {
      layers.flatMap { layer -> [String] in
        switch layer {
        case let residual as Residual: names(residual.body) + names(residual.shortcut)
        case let convolution as Convolution where !convolution.isTrainable:
          convolution.name.map { ["\($0).weight", "\($0).bias"] } ?? []
        default: []
        }
      }
    }
    return Set(names(layers))
  }
}

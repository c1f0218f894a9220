import Neural

/// The networks of `Goldens/generate.py`, by the names of their files.
enum GoldenNetworks {
  static let all: [(name: String, model: Sequential)] = [
    (
      "batch-norm",
      image {
        Convolution("conv1", channels: 5, kernel: 3, padding: 1, bias: false)
        BatchNorm("bn1")
        ReLU()
        Convolution("conv2", channels: 19, kernel: 3, bias: false)
        BatchNorm("bn2", epsilon: 1e-3, momentum: 0.3)
        Flatten()
        Dense("fc", 3)
      }
    ),
    (
      "batch-norm-residual",
      image {
        Convolution("conv1", channels: 5, kernel: 3, padding: 1)
        Residual {
          Convolution("conv2", channels: 19, kernel: 3, stride: 2, padding: 1, bias: false)
          BatchNorm("bn2")
          ReLU()
          Convolution("conv3", channels: 19, kernel: 3, padding: 1, bias: false)
          BatchNorm("bn3")
        } shortcut: {
          Convolution("downsample.0", channels: 19, kernel: 1, stride: 2, bias: false)
          BatchNorm("downsample.1")
        }
        ReLU()
        Residual {
          Convolution("conv4", channels: 19, kernel: 1, bias: false)
          BatchNorm("bn4")
        }
        ReLU()
        Flatten()
        Dense("fc", 3)
      }
    ),
    (
      "pre-activation",
      image {
        Convolution("conv1", channels: 5, kernel: 3, padding: 1, bias: false)
        BatchNorm("bn1")
        ReLU()
        Residual {
          Convolution("conv2", channels: 19, kernel: 3, stride: 2, padding: 1, bias: false)
        } shortcut: {
          Convolution("convShortcut", channels: 19, kernel: 1, stride: 2, bias: false)
        }
        Residual {
          BatchNorm("bn2")
          ReLU()
          Convolution("conv3", channels: 19, kernel: 1, bias: false)
        }
        BatchNorm("bn3")
        ReLU()
        GlobalAveragePool()
        Dense("fc", 3)
      }
    ),
    (
      "average-pool",
      image {
        Convolution("conv1", channels: 5, kernel: 3, padding: 1)
        AveragePool(2)
        Convolution("conv2", channels: 19, kernel: 3, padding: 1)
        AveragePool(3, stride: 2, padding: 1)
        Flatten()
        Dense("fc", 3)
      }
    ),
    (
      "global-average-pool",
      image {
        Convolution("conv1", channels: 19, kernel: 3, padding: 1)
        GlobalAveragePool()
        Dense("fc", 3)
      }
    ),
    (
      "max-pool",
      image {
        Convolution("conv1", channels: 5, kernel: 3, padding: 1)
        MaxPool(2)
        Convolution("conv2", channels: 19, kernel: 3, padding: 1)
        ReLU()
        Flatten()
        Dense("fc", 3)
      }
    ),
    ("gelu", activated(by: GELU())), ("gelu-tanh", activated(by: GELU(approximation: .tanh))),
    ("silu", activated(by: SiLU())),
    (
      "grouped-convolution",
      image {
        Convolution("conv1", channels: 10, kernel: 3, padding: 1)
        Convolution("conv2", channels: 15, kernel: 3, padding: 1, groups: 5)
        Convolution("conv3", channels: 15, kernel: 3, stride: 2, padding: 1, bias: false, groups: 15)
        Flatten()
        Dense("fc", 3)
      }
    ),
    (
      "strided-convolution",
      image {
        Convolution("conv1", channels: 5, kernel: 5, padding: 2)
        Convolution("conv2", channels: 19, kernel: 3, stride: 2, padding: 1)
        Convolution("conv3", channels: 5, kernel: 1, stride: 2, bias: false)
        Flatten()
        Dense("fc", 3)
      }
    ),
    (
      "scale",
      image {
        Convolution("conv1", channels: 5, kernel: 3)
        Scale(0.125)
        Flatten()
        Dense("fc", 3)
        Scale(-1.75)
      }
    ),
    ("layer-norm", patched(19) { LayerNorm("norm", epsilon: 1e-6) }),
    ("token-dense", patched(19) { Dense("linear1", 5) }),
    (
      "sine-cosine-positions",
      patched(20) {
        PositionEmbedding(sineCosineOfRows: 3)
        ClassToken("class_token")
      }
    ), ("learned-positions", patched(19) { PositionEmbedding("position_embedding") }),
    ("attention", patched(20) { MultiHeadSelfAttention("attention", heads: 4) }),
    ("attention-one-head", patched(19) { MultiHeadSelfAttention("attention", heads: 1) }),
    (
      "transformer-block",
      Sequential(input: [3, 6, 4]) {
        PatchEmbedding("patch_embedding", features: 20, patch: 2)
        ClassToken("class_token")
        for block in 0..<2 {
          Residual {
            LayerNorm("blocks.\(block).norm1", epsilon: 1e-6)
            MultiHeadSelfAttention("blocks.\(block).attention", heads: 4)
          }
          Residual {
            LayerNorm("blocks.\(block).norm2", epsilon: 1e-6)
            Dense("blocks.\(block).linear1", 38)
            GELU(approximation: .tanh)
            Dense("blocks.\(block).linear2", 20)
          }
        }
        TokenSelection(0)
        Dense("fc", 3)
      }
    ),
  ]

  static let names = all.map(\.name)

  static func model(_ name: String) -> Sequential? { all.first { $0.name == name }?.model }

  private static func image(@LayerBuilder _ layers: () -> [any Layer]) -> Sequential {
    Sequential(input: [3, 7, 5], layers: layers)
  }

  private static func activated(by activation: some Layer) -> Sequential {
    image {
      Convolution("conv1", channels: 5, kernel: 3)
      activation
      Flatten()
      Dense("fc1", 19)
      activation
      Dense("fc", 3)
    }
  }

  /// Layers between six tokens and the classifier.
  private static func patched(_ features: Int, @LayerBuilder _ layers: () -> [any Layer]) -> Sequential {
    let middle = layers()
    return Sequential(input: [3, 6, 4]) {
      PatchEmbedding("patch_embedding", features: features, patch: 2)
      middle
      Flatten()
      Dense("fc", 3)
    }
  }
}

import Neural

// Tokens, and what is known by several shapes.
extension NetworkCase {
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
}

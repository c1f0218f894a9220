extension Models {
  /// A small vision transformer for CIFAR: patches of 8 × 8, width 128, four layers of four heads, MLPs of twice the
  /// width, dropout 0.3, sine-cosine positions and a class token; 0.56 million parameters.
  ///
  /// Input 3 × 32 × 32, ten classes. Normalisation comes before attention and MLP, and none before the classifier.
  public static func vitTiny() -> Sequential {
    let (width, patch, dropout) = (128, 8, 0.3)
    return Sequential(input: [3, 32, 32]) {
      PatchEmbedding("patch_embedding", features: width, patch: patch)
      PositionEmbedding(sineCosineOfRows: 32 / patch)
      ClassToken("class_token")
      for block in 0..<4 { transformerBlock("blocks.\(block)", width: width, heads: 4, dropout: dropout) }
      TokenSelection(0)
      Dense("fc", 10)
    }
  }

  /// Attention and MLP, each added to what comes in.
  private static func transformerBlock(_ name: String, width: Int, heads: Int, dropout: Double) -> [any Layer] {
    [
      Residual {
        LayerNorm("\(name).norm1", epsilon: 1e-6)
        MultiHeadSelfAttention("\(name).attention", heads: heads, dropout: dropout)
      },
      Residual {
        LayerNorm("\(name).norm2", epsilon: 1e-6)
        Dense("\(name).linear1", 2 * width)
        GELU(approximation: .tanh)
        Dropout(dropout)
        Dense("\(name).linear2", width)
        Dropout(dropout)
      },
    ]
  }
}

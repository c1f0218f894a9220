import Neural
import Testing

/// A layer that cannot be, or that cannot take what arrives at it, is named, with what came and what was expected.
@Suite struct LayerErrorTests {
  /// A layer behind an input, and what the message must say.
  struct Wrong: CustomTestStringConvertible {
    let layer: any Layer
    let input: [Int]
    let parts: [String]
    var testDescription: String { "\(layer.kind) on \(input): \(parts)" }

    init(_ layer: some Layer, on input: [Int], says parts: String...) {
      self.layer = layer
      self.input = input
      self.parts = parts
    }
  }

  static let image = [3, 5, 7]
  static let wrong: [Wrong] = [
    Wrong(BatchNorm("bn", epsilon: 0), on: image, says: "BatchNorm bn", "epsilon 0.0"),
    Wrong(BatchNorm("bn", epsilon: .nan), on: image, says: "BatchNorm bn", "epsilon nan"),
    Wrong(BatchNorm("bn", momentum: 0), on: image, says: "BatchNorm bn", "momentum 0.0"),
    Wrong(BatchNorm("bn", momentum: 1.5), on: image, says: "BatchNorm bn", "momentum 1.5"),
    Wrong(BatchNorm("bn", initialWeight: .infinity), on: image, says: "BatchNorm bn", "initial weight inf"),
    Wrong(LayerNorm("norm", epsilon: -1), on: [13], says: "LayerNorm norm", "epsilon above 0", "-1.0"),
    Wrong(LayerNorm("norm", epsilon: .infinity), on: [13], says: "LayerNorm norm", "epsilon above 0", "inf"),
    Wrong(LayerNorm("norm"), on: image, says: "LayerNorm norm", "3 × 5 × 7", "tokens, features"),
    Wrong(AveragePool(0), on: image, says: "AveragePool", "window 0"),
    Wrong(AveragePool(2, stride: 0), on: image, says: "AveragePool", "stride 0"),
    Wrong(AveragePool(2, padding: 2), on: image, says: "AveragePool", "padding 2"),
    Wrong(AveragePool(2, padding: -1), on: image, says: "AveragePool", "padding -1"),
    Wrong(AveragePool(6), on: image, says: "AveragePool", "3 × 5 × 7", "at least 6"),
    Wrong(AveragePool(2), on: [13], says: "AveragePool", "13", "channels, height, width"),
    Wrong(GlobalAveragePool(), on: [13], says: "GlobalAveragePool", "13", "channels, height, width"),
    Wrong(Scale(.nan), on: image, says: "Scale", "nan"),
    Wrong(Scale(-.infinity), on: image, says: "Scale", "-inf"),
    Wrong(PatchEmbedding("patches", features: 0, patch: 2), on: image, says: "PatchEmbedding patches", "channels 0"),
    Wrong(PatchEmbedding("patches", features: 8, patch: 0), on: image, says: "PatchEmbedding patches", "kernel 0"),
    Wrong(PatchEmbedding("patches", features: 8, patch: 6), on: image, says: "PatchEmbedding patches", "at least 6"),
    Wrong(PatchEmbedding("patches", features: 8, patch: 2), on: [13], says: "PatchEmbedding patches", "height, width"),
    Wrong(ClassToken("token"), on: image, says: "ClassToken token", "3 × 5 × 7", "tokens, features"),
    Wrong(ClassToken("token"), on: [13], says: "ClassToken token", "13", "tokens, features"),
    Wrong(TokenSelection(0), on: image, says: "TokenSelection", "3 × 5 × 7", "tokens, features"),
    Wrong(PositionEmbedding("position"), on: image, says: "PositionEmbedding position", "tokens, features"),
    Wrong(MultiHeadSelfAttention("attention", heads: 2), on: image, says: "SelfAttention attention", "3 × 5 × 7"),
    Wrong(Dense("fc", 3), on: image, says: "Dense fc", "3 × 5 × 7", "Flatten()"),
    Wrong(
      Convolution("conv", channels: 4, kernel: 3, groups: 2), on: image, says: "Convolution conv", "2 groups",
      "3 × 5 × 7"),
    Wrong(
      Convolution("conv", channels: 4, kernel: 3, groups: 3), on: image, says: "Convolution conv", "3 groups",
      "4 channels"),
    Wrong(Convolution("conv", channels: 4, kernel: 3, groups: 0), on: image, says: "Convolution conv", "0 groups"),
    Wrong(Convolution("conv", channels: 4, kernel: 3, groups: -1), on: image, says: "Convolution conv", "-1 groups"),
    Wrong(
      Convolution("conv", channels: 4, kernel: 3, initializer: .normal(standardDeviation: -1)), on: image,
      says: "Convolution conv", "initializer of conv.weight", "-1.0"),
    Wrong(Dense("fc", 4, initializer: .uniform(bound: .nan)), on: [13], says: "Dense fc", "fc.weight", "nan"),
    Wrong(Dense("fc", 4, biasInitializer: .constant(.infinity)), on: [13], says: "Dense fc", "fc.bias", "inf"),
    Wrong(
      Dense("fc", 4, initializer: .truncatedNormal(standardDeviation: .infinity)), on: [13], says: "Dense fc", "inf"),
  ]

  /// Layers behind six tokens of ten features.
  static let wrongOnTokens: [Wrong] = [
    Wrong(TokenSelection(6), on: [], says: "TokenSelection", "6 × 10", "a token 6"),
    Wrong(TokenSelection(-1), on: [], says: "TokenSelection", "a token -1"),
    Wrong(PositionEmbedding(sineCosineOfRows: 0), on: [], says: "PositionEmbedding", "0 rows"),
    Wrong(PositionEmbedding(sineCosineOfRows: 4), on: [], says: "PositionEmbedding", "6 × 10", "4 rows"),
    Wrong(PositionEmbedding(sineCosineOfRows: 3), on: [], says: "PositionEmbedding", "6 × 10", "4 divides"),
    Wrong(MultiHeadSelfAttention("attention", heads: 0), on: [], says: "attention", "0 heads"),
    Wrong(MultiHeadSelfAttention("attention", heads: 3), on: [], says: "attention", "6 × 10", "3 heads"),
    Wrong(MultiHeadSelfAttention("attention", heads: 5, dropout: 1), on: [], says: "attention", "probability", "1.0"),
    Wrong(MultiHeadSelfAttention("attention", heads: 5, dropout: -0.1), on: [], says: "attention", "-0.1"),
    Wrong(MultiHeadSelfAttention("attention", heads: 5, dropout: .nan), on: [], says: "attention", "nan"),
    Wrong(Convolution("conv", channels: 4, kernel: 1), on: [], says: "Convolution conv", "6 × 10", "height, width"),
    Wrong(MaxPool(2), on: [], says: "MaxPool", "6 × 10", "height, width"),
    Wrong(AveragePool(2), on: [], says: "AveragePool", "6 × 10", "height, width"),
    Wrong(GlobalAveragePool(), on: [], says: "GlobalAveragePool", "6 × 10", "height, width"),
    Wrong(PatchEmbedding("again", features: 4, patch: 1), on: [], says: "PatchEmbedding again", "6 × 10"),
  ]

  private func message(_ model: Sequential, batchSize: Int = 2, _ options: PlanOptions = PlanOptions()) -> String {
    do {
      _ = try Plan(model, batchSize: batchSize, options: options)
      return "accepted"
    } catch {
      return error is PlanError ? "\(error)" : "no PlanError: \(error)"
    }
  }

  private func expect(_ model: Sequential, says place: String, _ wrong: Wrong) {
    let text = message(model)
    #expect(text.hasPrefix(place), "\(text)")
    for part in wrong.parts { #expect(text.contains(part), "\(text)") }
  }

  /// In the network itself, inside a residual block's body, in its shortcut, and in a block in a block.
  @Test(arguments: wrong)
  func wrongLayersAreNamed(_ wrong: Wrong) {
    expect(Sequential(input: wrong.input) { [wrong.layer] }, says: "layer 0 (\(wrong.layer.kind)", wrong)
    expect(
      Sequential(input: wrong.input) {
        ReLU()
        Residual {
          ReLU()
          [wrong.layer]
        }
      }, says: "layer 1 (Residual), body, layer 1 (\(wrong.layer.kind)", wrong)
    expect(
      Sequential(input: wrong.input) {
        Residual {
          ReLU()
        } shortcut: {
          Residual { [wrong.layer] }
        }
      }, says: "layer 0 (Residual), shortcut, layer 0 (Residual), body, layer 0 (\(wrong.layer.kind)", wrong)
  }

  @Test(arguments: wrongOnTokens)
  func wrongLayersOfTokensAreNamed(_ wrong: Wrong) {
    let patches = PatchEmbedding("patches", features: 10, patch: 2)
    expect(
      Sequential(input: [3, 4, 6]) {
        patches
        [wrong.layer]
      }, says: "layer 1 (\(wrong.layer.kind)", wrong)
    expect(
      Sequential(input: [3, 4, 6]) {
        patches
        Residual { [wrong.layer] }
      }, says: "layer 1 (Residual), body, layer 0 (\(wrong.layer.kind)", wrong)
  }

  @Test func residualBlocksThatDoNotFitAreRefused() {
    let empty = message(Sequential(input: [4]) { Residual {} })
    #expect(empty.contains("layer 0 (Residual): received an input of shape 4"))
    #expect(empty.contains("at least one layer in the body"))
    let widths = message(
      Sequential(input: [3, 5, 7]) {
        Residual { Convolution("conv", channels: 4, kernel: 3, padding: 1) }
        Flatten()
        Dense("fc", 3)
      })
    for part in ["layer 0 (Residual)", "3 × 5 × 7", "4 × 5 × 7", "projection"] { #expect(widths.contains(part)) }
    let twice = message(
      Sequential(input: [4]) {
        Residual {
          Dense("fc", 4)
        } shortcut: {
          Dense("fc", 4)
        }
      })
    #expect(twice.contains("layer 0 (Residual), shortcut, layer 0 (Dense fc)") && twice.contains("fc.weight"))
    struct Foreign: Layer {
      var kind: String { "Foreign" }
      func outputShape(input: [Int]) throws(ShapeMismatch) -> [Int] { input }
    }
    let foreign = message(Sequential(input: [4]) { Residual { Foreign() } })
    #expect(foreign.contains("layer 0 (Residual), body, layer 0 (Foreign)"))
    let dropout = message(
      Sequential(input: [4]) {
        Dense("fc", 4)
        Residual { Dropout(2) }
      })
    #expect(dropout.contains("layer 1 (Residual), body, layer 0 (Dropout)") && dropout.contains("2.0"))
    let memory = message(
      Sequential(input: [4]) {
        Residual {
          Dense("fc1", 1 << 60)
          Dense("fc2", 4)
        }
      })
    #expect(memory.contains("body, layer 0 (Dense fc1)") && memory.contains("bytes"))
  }

  /// One number has no variance.
  @Test func aSingleValueCannotBeNormalised() {
    func network(_ input: [Int]) -> Sequential {
      Sequential(input: input) {
        BatchNorm("bn")
        Flatten()
        Dense("fc", 3)
      }
    }
    for input in [[3, 1, 1], [5]] {
      let text = message(network(input), batchSize: 1)
      #expect(text.contains("bn") && text.contains("--batch-size") && text.contains("no variance"), "\(text)")
      #expect(message(network(input), batchSize: 2) == "accepted")
    }
    #expect(message(network([3, 1, 2]), batchSize: 1) == "accepted")
  }

  @Test func inputsThatAreNotAsManyAreRefused() throws {
    for precision in Precision.available {
      let plan = try Plan(
        Sequential(input: [3, 5, 7]) {
          Flatten()
          Dense("fc", 3)
        }, batchSize: 2, options: PlanOptions(precision: precision))
      let error = #expect(throws: PlanError.self) { try plan.fillInput([1, 2]) }
      #expect(error?.description.contains("received 2 numbers, expected 210") == true)
    }
  }

  /// Where the processor has no kernels for it, bfloat16 is refused before anything else is done.
  @Test func bfloat16IsRefusedWhereThereIsNone() {
    let text = message(Sequential(input: [4]) { Dense("fc", 3) }, PlanOptions(precision: .bfloat16))
    if Precision.available.contains(.bfloat16) {
      #expect(text == "accepted")
    } else {
      #expect(text.contains("precision: received bfloat16, expected float32"))
    }
  }
}

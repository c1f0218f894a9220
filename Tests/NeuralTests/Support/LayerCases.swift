import Neural

// Networks around one layer each, or around one way in which layers are compiled together, at odd sizes: channels that
// are no multiples of a block, images of 5 × 7, batches of one to three.
extension NetworkCase {
  static let layers: [NetworkCase] =
    normalizations + residualBlocks + poolings + activations + tokens + shapes + convolutions

  /// Those, and the networks that are compared with ``ReferenceNetwork``.
  static let everything: [NetworkCase] = layers + all

  /// The activations, by name.
  static let activationLayers: [(name: String, layer: any Layer)] = [
    ("ReLU", ReLU()), ("GELU, tanh", GELU(approximation: .tanh)), ("GELU", GELU()), ("SiLU", SiLU()),
  ]

  /// Keeps height and width but for its stride; a normalisation may follow.
  static func projected(_ name: String, _ channels: Int, stride: Int = 1) -> Convolution {
    Convolution(name, channels: channels, kernel: 3, stride: stride, padding: 1, bias: false)
  }
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

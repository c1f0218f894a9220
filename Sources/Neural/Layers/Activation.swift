/// A function applied to each element.
public enum Activation: String, Sendable, Hashable, CaseIterable {
  /// max(u, 0)
  case relu
  /// u·Φ(u), with the tanh form of Φ (Hendrycks and Gimpel 2016): u/2 · (1 + tanh(√(2/π)·(u + 0.044715·u³)))
  case geluTanh
  /// u·Φ(u) with the normal distribution's own Φ: u/2 · (1 + erf(u/√2))
  case gelu
  /// u / (1 + exp(-u))
  case silu
}

/// A layer that is an activation and nothing else.
protocol ActivationLayer: CompilableLayer {
  var activation: Activation { get }
}

/// The type of the numbers that a plan computes with.
public enum Precision: String, Sendable, Hashable, CaseIterable, Codable {
  /// IEEE 754 single precision throughout.
  case float32
  /// Activations, their gradients and a compute copy of the weights in bfloat16 (8 bits of exponent, 8 of significand).
  /// Parameters, gradients of parameters, statistics and all sums stay in single precision.
  case bfloat16

  /// Bytes of a number.
  public var byteCount: Int { self == .bfloat16 ? 2 : 4 }
}

/// The type of the numbers that a plan computes with.
public enum Precision: String, Sendable, Hashable, CaseIterable, Codable {
  /// IEEE 754 single precision throughout.
  case float32
  /// Activations, their gradients and a compute copy of the weights in bfloat16 (8 bits of exponent, 8 of significand).
  /// Parameters, gradients of parameters, statistics and all sums stay in single precision. On processors without
  /// matrix instructions (AMX) convolutions of 128 channels and more are computed in single precision too, by
  /// Winograd's algorithm, between activations in bfloat16: that is faster than direct ones in bfloat16.
  case bfloat16

  /// Bytes of a number.
  public var byteCount: Int { self == .bfloat16 ? 2 : 4 }
}

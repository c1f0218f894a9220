/// A oneDNN primitive that a plan runs.
public struct PrimitiveRecord: Sendable, Hashable, CustomStringConvertible {
  /// What a primitive computes.
  public enum Direction: String, Sendable, Hashable, CaseIterable {
    case forward = "forward"
    case backwardData = "backward-data"
    case backwardWeights = "backward-weights"
    /// A copy into another layout.
    case reorder = "reorder"
  }

  /// The layer: its name, or its kind and position where it has none.
  public let layer: String
  /// What is computed.
  public let direction: Direction
  /// oneDNN's name of the implementation, such as `jit_wino_4x3:avx512_core`.
  public let implementation: String

  /// Layer, direction and implementation, such as `conv1 forward: jit:avx512_core`.
  public var description: String { "\(layer) \(direction.rawValue): \(implementation)" }
}

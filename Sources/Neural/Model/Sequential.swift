/// A network of layers, each fed by the one before it.
///
/// ```swift
/// Sequential(input: [1, 28, 28]) {
///   Convolution("conv1", channels: 32, kernel: 3)
///   ReLU()
///   Flatten()
///   Dense("fc1", 10)
/// }
/// ```
///
/// A declaration only: shapes are inferred and checked when a ``Plan`` is made of it. The last layer's outputs are the
/// logits of the classes; the loss is softmax cross-entropy.
public struct Sequential: Sendable {
  /// Shape of one example: channels, height, width (or a single number of features).
  public let input: [Int]
  /// The layers, first to last.
  public let layers: [any Layer]

  /// - Parameters:
  ///   - input: shape of one example, `[channels, height, width]` or `[features]`.
  ///   - layers: the layers, first to last.
  public init(input: [Int], @LayerBuilder layers: () -> [any Layer]) {
    self.input = input
    self.layers = layers()
  }
}

/// Collects the layers written one to a line; `if`, `switch` and `for` may be used.
@resultBuilder
public enum LayerBuilder {
  /// One layer on a line.
  public static func buildExpression(_ layer: some Layer) -> [any Layer] { [layer] }
  /// A ready list of layers on a line, such as a block that a function returns.
  public static func buildExpression(_ layers: [any Layer]) -> [any Layer] { layers }
  /// All lines.
  public static func buildBlock(_ parts: [any Layer]...) -> [any Layer] { parts.flatMap { $0 } }
  /// `if` without `else`.
  public static func buildOptional(_ part: [any Layer]?) -> [any Layer] { part ?? [] }
  /// The first branch of `if` … `else`.
  public static func buildEither(first part: [any Layer]) -> [any Layer] { part }
  /// The second branch of `if` … `else`.
  public static func buildEither(second part: [any Layer]) -> [any Layer] { part }
  /// `for`.
  public static func buildArray(_ parts: [[any Layer]]) -> [any Layer] { parts.flatMap { $0 } }
}

@testable import Neural

extension Precision {
  /// Those in which plans compute on this processor.
  static var available: [Precision] { hasBFloat16Kernels ? [.float32, .bfloat16] : [.float32] }
}

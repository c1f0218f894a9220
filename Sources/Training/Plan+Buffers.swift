import Datasets
import Neural

extension Plan {
  /// Where the batch's images begin. A plan has at least one example, so there always is one.
  var inputAddress: UnsafeMutableRawPointer { inputBytes.baseAddress.unsafelyUnwrapped }
  /// The first of the batch's labels.
  var labelAddress: UnsafeMutablePointer<Int32> { labels.baseAddress.unsafelyUnwrapped }

  /// The form that the plan's batches have.
  var batchFormat: BatchFormat {
    switch options.precision {
    case .float32: BatchFormat(layout: .planar, elementType: .float32)
    case .bfloat16: BatchFormat(layout: .planar, elementType: .bfloat16)
    }
  }
}

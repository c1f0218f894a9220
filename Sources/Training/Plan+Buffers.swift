import Neural

extension Plan {
  /// The first float of the batch's images. A plan has at least one example, so there always is one.
  var inputPointer: UnsafeMutablePointer<Float> { input.baseAddress.unsafelyUnwrapped }
  /// The first of the batch's labels.
  var labelPointer: UnsafeMutablePointer<Int32> { labels.baseAddress.unsafelyUnwrapped }
}

/// Which algorithm a convolution takes, per direction, by its shape alone.
enum ConvolutionRule {
  /// The algorithms to try, best first; the last one always exists.
  static func kernels(
    _ algorithm: ConvolutionAlgorithm, _ shape: ConvolutionShape, _ direction: PrimitiveRecord.Direction
  ) -> [ConvolutionKernel] {
    switch algorithm {
    case .direct: [.direct]
    case .winograd: [.winograd, .direct]
    case .auto: prefersWinograd(shape, direction) ? [.winograd, .direct] : [.direct]
    }
  }

  private static func prefersWinograd(_ shape: ConvolutionShape, _ direction: PrimitiveRecord.Direction) -> Bool {
    shape.geometry.kernel == [3, 3] && shape.geometry.stride == [1, 1] && shape.inputChannels >= 32
      && shape.outputChannels >= 32
  }
}

/// Which algorithm a convolution takes, per direction: by its shape alone in single precision; in bfloat16 also by
/// whether the processor has matrix instructions.
///
/// Milliseconds of oneDNN 2.6.3, direct / Winograd, one core of a Xeon of the Sapphire Rapids generation that others
/// used too, 3×3 kernels, stride 1:
///
/// | batch, channels, image | forward | backward data | backward weights |
/// | --- | --- | --- | --- |
/// | 64, 1→32, 28×28 | 0.6 / 6.8 | 5.0 / 5.6 | 0.5 / 3.1 |
/// | 64, 16→16, 32×32 | 3.9 / 5.9 | 3.6 / 5.6 | 6.3 / 3.2 |
/// | 64, 16→32, 26×26 | 4.0 / 5.2 | 5.8 / 5.3 | 4.6 / 2.8 |
/// | 64, 32→32, 32×32 | 14.3 / 12.1 | 14.1 / 7.8 | 18.0 / 7.6 |
/// | 64, 32→64, 26×26 | 12.4 / 8.8 | 17.7 / 13.4 | 17.2 / 9.0 |
/// | 64, 128→128, 16×16 | 44 / 20 | 46 / 22 | 52 / 26 |
/// | 64, 512→512, 4×4 | 44 / 28 | 44 / 32 | 72 / 32 |
/// | 8, 256→256, 8×8 | 4.7 / 4.1 | 4.5 / 4.7 | 6.3 / 4.5 |
/// | 8, 512→512, 4×4 | 5.3 / 10.6 | 5.9 / 13.1 | 9.9 / 17.6 |
///
/// Behind a 2×2 max-pooling the way back takes neither: see ``PooledConvolutionBackward``.
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

  /// Whether a convolution between bfloat16 activations is computed in single precision, by Winograd's algorithm, which
  /// oneDNN has in no other. Forward, backward data and backward weights together, 3×3 kernels, batch 64, one core of a
  /// Zen 4, in ms: 128→128 at 16×16 48 in single precision, 60 in bfloat16; 256→256 at 8×8 47 and 60; 512→512 at 4×4 53
  /// and 50; the conversions take about 1. With matrix instructions (AMX) bfloat16 is faster than either.
  static func widens(_ shape: ConvolutionShape, _ algorithm: ConvolutionAlgorithm) -> Bool {
    guard shape.precision == .bfloat16, algorithm != .direct, !Precision.hasMatrixInstructions else { return false }
    var single = shape
    single.precision = .float32
    return min(shape.inputChannels, shape.outputChannels) >= 128 && shape.outputSize.allSatisfy { $0 >= 8 }
      && prefersWinograd(single, .forward) && prefersWinograd(single, .backwardData)
  }

  private static func prefersWinograd(_ shape: ConvolutionShape, _ direction: PrimitiveRecord.Direction) -> Bool {
    guard shape.geometry.kernel == [3, 3], shape.geometry.stride == [1, 1], shape.groups == 1,
      shape.precision == .float32
    else { return false }
    // The transforms cost the same for few channels as for many; the weights' gradient spreads them over most work.
    let fewest = min(shape.inputChannels, shape.outputChannels)
    guard fewest >= (direction == .backwardWeights ? 16 : 32) else { return false }
    // Tiles of 4×4 results: with few of them the transformed weights are read for too little work.
    let written = direction == .backwardData ? shape.inputSize : shape.outputSize
    let tiles = shape.batch * ((written[0] + 3) / 4) * ((written[1] + 3) / 4)
    return tiles >= 32
  }
}

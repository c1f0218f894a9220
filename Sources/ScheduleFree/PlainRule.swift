/// Rules whose element-wise arithmetic is also written as one plain loop, generic over the precision.
///
/// In double precision that loop is what the rule does. In single precision a C kernel does the same operations in the
/// same order, many elements at a time; since each operation is rounded by itself in both, the two agree bit for bit,
/// and tests hold the kernel to that.
protocol PlainRule: UpdateRule {
  /// The element-wise pass, one element after the other.
  func plainUpdate<Scalar: BinaryFloatingPoint>(_ range: ElementRange<Scalar>)

  /// y from the state, one element after the other.
  func plainGradientPoint<Scalar: BinaryFloatingPoint>(
    state: UnsafePointer<UnsafeMutablePointer<Scalar>>, y: UnsafeMutablePointer<Scalar>, count: Int)
}

extension PlainRule {
  /// The element-wise pass of the step begun last, in double precision.
  public func update(_ range: ElementRange<Double>) { plainUpdate(range) }

  /// Writes the point at which the next gradient is to be taken, in double precision.
  public func writeGradientPoint(
    state: UnsafePointer<UnsafeMutablePointer<Double>>, y: UnsafeMutablePointer<Double>, count: Int
  ) {
    plainGradientPoint(state: state, y: y, count: count)
  }
}

/// The step from `start` towards `end` by the fraction `weight`: start + weight · (end - start).
///
/// Schedule-free methods use this form for y = (1-β)z + βx and x ← (1-c)x + cz. It leaves a point where it is when both
/// ends agree (padding and a learning rate of 0 among the cases), gives z exactly for β = 0, and does not scale x by
/// the rounding error of 1-c in every step.
@inline(__always)
func lerp<Scalar: BinaryFloatingPoint>(_ start: Scalar, _ end: Scalar, _ weight: Scalar) -> Scalar {
  start + weight * (end - start)
}

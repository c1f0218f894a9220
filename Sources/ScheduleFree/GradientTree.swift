import CKernels

/// Where the fixed binary tree divides `count` summands: sum(0..<count) = sum(0..<m) + sum(m..<count), with m the
/// largest power of two below `count`.
///
/// Gradients of ranks (or lanes) are always added up in this tree. A power-of-two group of neighbours is then one
/// subtree, whose sum can be formed anywhere, by whom it may, without changing a bit of the result.
///
/// - Parameter count: summands, at least 2.
@inlinable
public func treeSplit(_ count: Int) -> Int {
  1 << (Int.bitWidth - 1 - (count - 1).leadingZeroBitCount)
}

extension ElementRange where Scalar: BinaryFloatingPoint {
  /// The scaled sum of all gradients at one element: what a rule written in Swift alone reads.
  @inlinable @inline(__always)
  public func gradient(at index: Int) -> Scalar {
    treeSum(gradients, gradientCount, at: gradientOffset + index) * gradientScale
  }
}

extension ElementRange where Scalar == Float {
  /// The gradients, and how y is stored, as the kernels take them.
  var summedGradients: fw_gradients {
    fw_gradients(
      sources: gradients, count: gradientCount, offset: gradientOffset, scale: gradientScale, stream_y: streamsY,
      found_nonfinite: foundNonFinite)
  }
}

/// The tree over the sources at one element.
@inlinable
func treeSum<Scalar: BinaryFloatingPoint>(
  _ sources: UnsafePointer<UnsafePointer<Scalar>>, _ count: Int, at index: Int
) -> Scalar {
  if count == 1 { return sources[0][index] }
  let middle = treeSplit(count)
  return treeSum(sources, middle, at: index) + treeSum(sources + middle, count - middle, at: index)
}

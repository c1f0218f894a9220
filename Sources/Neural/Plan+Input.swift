internal import CKernels

// Batches that are float32 numbers already.
extension Plan {
  /// Puts a batch into ``inputBytes``, rounded to the plan's precision (to nearest, ties to even).
  ///
  /// - Parameter values: the batch, N × C × H × W in row-major order, all finite.
  /// - Throws: ``PlanError`` if these are not as many numbers as a batch has.
  public func fillInput(_ values: [Float]) throws {
    let expected = inputBytes.count / options.precision.byteCount
    guard values.count == expected else {
      throw PlanError.value(name: "batch", received: "\(values.count) numbers", expected: "\(expected)")
    }
    switch options.precision {
    case .float32: for (index, value) in values.enumerated() { input[index] = value }
    case .bfloat16: fw_bfloat16_from_float32(values, inputBytes.bindMemory(to: UInt16.self).baseAddress, values.count)
    }
  }
}

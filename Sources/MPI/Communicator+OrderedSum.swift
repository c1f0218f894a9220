extension Communicator {
  /// The sum of one number per rank, added in rank order in double precision: the same bits on every rank and in every
  /// run, which `MPI_Allreduce` does not promise.
  ///
  /// - Throws: `MPIError`.
  public func sumInRankOrder(_ value: Double) throws -> Double {
    var value = value
    try withUnsafeMutablePointer(to: &value) { value in
      try withUnsafeTemporaryAllocation(of: Double.self, capacity: size) { scratch in
        scratch.initialize(repeating: 0)
        try sumInRankOrder(UnsafeMutableBufferPointer(start: value, count: 1), scratch: scratch)
      }
    }
    return value
  }

  /// The sums of several numbers per rank, each added in rank order in double precision, with one collective.
  ///
  /// - Parameter values: as many numbers on every rank.
  /// - Throws: `MPIError`.
  public func sumInRankOrder(_ values: [Double]) throws -> [Double] {
    var (values, scratch) = (values, [Double](repeating: 0, count: size * values.count))
    try values.withUnsafeMutableBufferPointer { values in
      try scratch.withUnsafeMutableBufferPointer { try sumInRankOrder(values, scratch: $0) }
    }
    return values
  }

  /// Replaces each number by its sum over all ranks, added in rank order in double precision, with one collective.
  /// Allocates nothing.
  ///
  /// - Parameters:
  ///   - values: as many numbers on every rank; receives the sums.
  ///   - scratch: `size * values.count` numbers, which are overwritten.
  /// - Throws: `MPIError`.
  public func sumInRankOrder(
    _ values: UnsafeMutableBufferPointer<Double>, scratch: UnsafeMutableBufferPointer<Double>
  ) throws {
    try allGather(UnsafeBufferPointer(values), into: scratch)
    let count = values.count
    for index in 0..<count {
      var sum = 0.0
      for rank in 0..<size { sum += scratch[rank * count + index] }
      values[index] = sum
    }
  }
}

extension Communicator {
  /// The sum of one number per rank, added in rank order in double precision: the same bits on every rank and in every
  /// run, which `MPI_Allreduce` does not promise.
  ///
  /// - Throws: `MPIError`.
  public func sumInRankOrder(_ value: Double) throws -> Double {
    try withUnsafePointer(to: value) { send in
      try withUnsafeTemporaryAllocation(of: Double.self, capacity: size) { values in
        values.initialize(repeating: 0)
        try allGather(UnsafeBufferPointer(start: send, count: 1), into: values)
        var sum = 0.0
        for value in values { sum += value }
        return sum
      }
    }
  }
}

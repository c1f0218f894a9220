internal import CMPI

// Collectives over memory of the caller. None of them allocates.

extension Communicator {
  /// Copies the bytes of `root` into `buffer` on every rank. All buffers have the same length.
  /// - Throws: `MPIError`.
  public func broadcast(_ buffer: UnsafeMutableRawBufferPointer, root: Int) throws {
    try check(
      cmpi_broadcast(buffer.baseAddress, buffer.count, CMPI_BYTE, Int32(clamping: root), handle, largestPiece))
  }

  /// Replaces each element by its sum over all ranks. All buffers have the same length.
  ///
  /// The order of the sum is the MPI library's: it may differ with the number of elements, but every rank gets the same
  /// bits.
  /// - Throws: `MPIError`.
  public func allReduceSum<T: MPINumber>(_ buffer: UnsafeMutableBufferPointer<T>) throws {
    try allReduce(buffer, CMPI_SUM)
  }

  /// Replaces each element by its maximum over all ranks. All buffers have the same length.
  /// - Throws: `MPIError`.
  public func allReduceMax<T: MPINumber>(_ buffer: UnsafeMutableBufferPointer<T>) throws {
    try allReduce(buffer, CMPI_MAX)
  }

  /// Replaces each element by its minimum over all ranks. All buffers have the same length.
  /// - Throws: `MPIError`.
  public func allReduceMin<T: MPINumber>(_ buffer: UnsafeMutableBufferPointer<T>) throws {
    try allReduce(buffer, CMPI_MIN)
  }

  /// The sum of `value` over all ranks.
  /// - Throws: `MPIError`.
  public func allReduceSum<T: MPINumber>(_ value: T) throws -> T { try allReduce(value, CMPI_SUM) }

  /// The maximum of `value` over all ranks.
  /// - Throws: `MPIError`.
  public func allReduceMax<T: MPINumber>(_ value: T) throws -> T { try allReduce(value, CMPI_MAX) }

  /// The minimum of `value` over all ranks.
  /// - Throws: `MPIError`.
  public func allReduceMin<T: MPINumber>(_ value: T) throws -> T { try allReduce(value, CMPI_MIN) }

  /// Gathers the same number of elements from every rank, in rank order: `receive` holds `size * send.count` elements.
  /// In place where `send` is this rank's part of `receive`.
  /// - Throws: `MPIError`.
  public func allGather<T: MPIElement>(
    _ send: UnsafeBufferPointer<T>, into receive: UnsafeMutableBufferPointer<T>
  ) throws {
    guard receive.count == size * send.count else {
      throw MPIError(
        call: "MPI_Allgather", code: MPI_ERR_COUNT,
        message: "\(size) ranks send \(send.count) elements each, but the buffer holds \(receive.count)")
    }
    try check(
      cmpi_all_gather(
        send.baseAddress, send.count, receive.baseAddress, T.mpiElementType.code, handle, largestPiece))
  }

  /// Gathers `counts[r]` elements from each rank r to `receive + offsets[r]`, on every rank. Nothing is copied where
  /// `send` is `receive + offsets[rank]` already.
  ///
  /// `count` is `counts[rank]`. `counts` and `offsets` hold `size` numbers, the same on every rank.
  /// - Throws: `MPIError`.
  public func allGather<T: MPIElement>(
    send: UnsafePointer<T>, count: Int, receive: UnsafeMutablePointer<T>, counts: UnsafePointer<Int>,
    offsets: UnsafePointer<Int>
  ) throws {
    try check(
      cmpi_all_gather_v(
        send, count, receive, counts, offsets, T.mpiElementType.code, handle, scratch, largestPiece))
  }

  /// Sends `sendCounts[r]` elements from `send + sendOffsets[r]` to each rank r, and receives `receiveCounts[r]`
  /// elements from each rank r at `receive + receiveOffsets[r]`. What a rank sends must be what its receiver expects.
  /// All arrays hold `size` numbers; the two memories must not overlap.
  /// - Throws: `MPIError`, also when a message is shorter or longer than its receiver expects.
  public func allToAll<T: MPIElement>(
    send: UnsafePointer<T>, sendCounts: UnsafePointer<Int>, sendOffsets: UnsafePointer<Int>,
    receive: UnsafeMutablePointer<T>, receiveCounts: UnsafePointer<Int>, receiveOffsets: UnsafePointer<Int>
  ) throws {
    try check(
      cmpi_all_to_all_v(
        send, sendCounts, sendOffsets, receive, receiveCounts, receiveOffsets, T.mpiElementType.code, handle, scratch,
        largestPiece))
  }

  /// Gathers `counts[r]` elements from each rank r to `receive + offsets[r]` at `root`. `receive`, `counts` and
  /// `offsets` (`size` numbers each) are used at the root only, and may be nil elsewhere.
  /// - Throws: `MPIError`, also at the root when a rank sends another number of elements.
  public func gather<T: MPIElement>(
    send: UnsafePointer<T>, count: Int, receive: UnsafeMutablePointer<T>?, counts: UnsafePointer<Int>?,
    offsets: UnsafePointer<Int>?, root: Int
  ) throws {
    guard rank != root || (receive != nil && counts != nil && offsets != nil) else {
      throw MPIError(
        call: "MPI_Gatherv", code: MPI_ERR_BUFFER, message: "the root needs a buffer to receive in, counts and offsets")
    }
    try check(
      cmpi_gather_v(
        send, count, receive, counts, offsets, T.mpiElementType.code, Int32(clamping: root), handle, largestPiece))
  }

  private func allReduce<T: MPINumber>(
    _ buffer: UnsafeMutableBufferPointer<T>, _ operation: cmpi_operation
  ) throws {
    try check(
      cmpi_all_reduce(buffer.baseAddress, buffer.count, T.mpiElementType.code, operation, handle, largestPiece))
  }

  private func allReduce<T: MPINumber>(_ value: T, _ operation: cmpi_operation) throws -> T {
    var value = value
    try withUnsafeMutablePointer(to: &value) {
      try allReduce(UnsafeMutableBufferPointer(start: $0, count: 1), operation)
    }
    return value
  }
}

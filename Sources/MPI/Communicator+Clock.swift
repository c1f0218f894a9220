internal import CMPI

extension Communicator {
  /// By how many nanoseconds this rank's monotonic clock is ahead of that of rank 0: 0 on rank 0. Off by half of the
  /// time that the quickest of some messages and its answer took, at most. Collective.
  ///
  /// - Parameter rounds: messages to each rank.
  /// - Throws: `MPIError`.
  public func clockOffset(rounds: Int = 32) throws -> Int {
    var offset = 0
    try check(cmpi_clock_offset(handle, Int32(clamping: rounds), &offset))
    return offset
  }

  /// The shortest time, in seconds, in which this rank and `peer` have sent each other `byteCount` bytes at once, of some
  /// rounds. Both ranks call it.
  ///
  /// - Throws: `MPIError`.
  public func exchangeSeconds(with peer: Int, byteCount: Int, rounds: Int) throws -> Double {
    let send = [UInt8](repeating: 1, count: max(byteCount, 1))
    var receive = [UInt8](repeating: 0, count: max(byteCount, 1))
    var seconds = 0.0
    try check(
      cmpi_exchange_seconds(handle, Int32(clamping: peer), send, &receive, byteCount, Int32(clamping: rounds), &seconds)
    )
    return seconds
  }

  /// Gathers the bytes of all ranks at `root`, in rank order; nothing elsewhere. Each rank may give another number.
  ///
  /// - Throws: `MPIError`.
  public func gather(bytes: [UInt8], root: Int) throws -> [[UInt8]] {
    let counts = try allGather(bytes.count)
    let offsets = counts.indices.map { counts[..<$0].reduce(0, +) }
    var all = [UInt8](repeating: 0, count: rank == root ? counts.reduce(0, +) + 1 : 1)
    try all.withUnsafeMutableBufferPointer { receive in
      // One byte more, so that there is memory to point at when nobody sends anything.
      try (bytes + [0]).withUnsafeBufferPointer { send in
        guard let from = send.baseAddress else { return }
        try gather(
          send: from, count: bytes.count, receive: receive.baseAddress, counts: counts, offsets: offsets, root: root)
      }
    }
    return rank == root ? zip(offsets, counts).map { Array(all[$0..<($0 + $1)]) } : []
  }
}

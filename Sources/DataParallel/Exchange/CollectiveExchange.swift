import MPI

/// Exchange by MPI collectives over private arenas: the flat path, on any number of nodes, and the all-reduce
/// yardstick.
///
/// Each rank holds the whole of y and of its gradients. The flat path sends every piece of a bucket to the owner of
/// its slice (`MPI_Alltoallv`), who sums the pieces in the fixed tree, and returns updated slices with
/// `MPI_Allgatherv`. The all-reduce path lets MPI sum whole buckets instead, in an order of MPI's choosing.
final class CollectiveExchange: SteppedExchange {
  let kind: ExchangeKind
  var label: String { kind.rawValue }
  var fillsParameters: Bool { true }
  var gradients: UnsafeMutablePointer<Float> { gradientArena.pointer }
  var parameters: UnsafeMutablePointer<Float> { parameterArena.pointer }
  var waitSeconds = 0.0

  private let communicator: Communicator
  private let layout: BucketLayout
  private let gradientArena: AlignedBuffer
  private let parameterArena: AlignedBuffer
  /// The pieces received for the bucket at hand, one behind the other in rank order. Empty for all-reduce.
  private let received: AlignedBuffer
  private let pointers: UnsafeMutablePointer<UnsafePointer<Float>>
  /// For each bucket, `size` counts and offsets of the ranks' slices in the arena, as the collectives want them.
  private let sliceCounts: UnsafeMutablePointer<Int>
  private let sliceOffsets: UnsafeMutablePointer<Int>
  private let receiveCounts: UnsafeMutablePointer<Int>
  private let receiveOffsets: UnsafeMutablePointer<Int>
  /// What all ranks hand in for a sum: room for as many numbers of each as one sum takes.
  private let partials: UnsafeMutablePointer<Double>
  /// One number a vote, which ranks take the largest of; owned by this object.
  private let ballots: UnsafeMutablePointer<Int>

  /// Collective over `communicator`.
  ///
  /// - Parameter sumCapacity: how many numbers one sum takes.
  /// - Throws: ``DataParallelError/outOfMemory(byteCount:what:)``.
  init(kind: ExchangeKind, communicator: Communicator, layout: BucketLayout, sumCapacity: Int) throws {
    let ranks = communicator.size
    let own = layout.buckets.indices.map { layout.slice(bucket: $0, rank: communicator.rank, of: ranks) }
    let largest = own.map(\.count).max() ?? 0
    self.kind = kind
    self.communicator = communicator
    self.layout = layout
    gradientArena = try AlignedBuffer(count: layout.elementCount, for: "the gradients")
    parameterArena = try AlignedBuffer(count: layout.elementCount, for: "the parameters")
    received = try AlignedBuffer(count: kind == .flat ? largest * ranks : 0, for: "received gradients")
    let tableCount = max(layout.buckets.count * ranks, 1)
    pointers = .allocate(capacity: tableCount)
    sliceCounts = .allocate(capacity: tableCount)
    sliceOffsets = .allocate(capacity: tableCount)
    receiveCounts = .allocate(capacity: tableCount)
    receiveOffsets = .allocate(capacity: tableCount)
    partials = .allocate(capacity: sumCapacity * ranks)
    partials.initialize(repeating: 0, count: sumCapacity * ranks)
    ballots = .allocate(capacity: 2)
    ballots.initialize(repeating: 0, count: 2)
    for (bucket, ownSlice) in own.enumerated() {
      for rank in 0..<ranks {
        let entry = bucket * ranks + rank
        let slice = layout.slice(bucket: bucket, rank: rank, of: ranks)
        (sliceCounts + entry).initialize(to: slice.count)
        (sliceOffsets + entry).initialize(to: slice.lowerBound)
        (receiveCounts + entry).initialize(to: ownSlice.count)
        (receiveOffsets + entry).initialize(to: rank * ownSlice.count)
        let piece =
          kind == .flat ? received.pointer + rank * ownSlice.count : gradientArena.pointer + ownSlice.lowerBound
        (pointers + entry).initialize(to: UnsafePointer(piece))
      }
    }
  }

  deinit {
    pointers.deallocate()
    sliceCounts.deallocate()
    sliceOffsets.deallocate()
    receiveCounts.deallocate()
    receiveOffsets.deallocate()
    partials.deallocate()
    ballots.deallocate()
  }

  func announce(step: Int, bucketCount: Int) {}

  func beginExchange(step: Int, votes: StepVotes) throws {
    // Besides agreeing, this small collective waits for the slowest rank, so that waiting is counted apart from
    // exchanging.
    let start = monotonicSeconds()
    ballots[0] = votes.stop ? 1 : 0
    ballots[1] = votes.nonFinite ? 1 : 0
    try communicator.allReduceMax(UnsafeMutableBufferPointer(start: ballots, count: 2))
    waitSeconds += monotonicSeconds() - start
  }

  func pieces(step: Int, bucket: Int) throws -> GradientPieces {
    let entry = bucket * communicator.size
    if kind == .flat {
      try communicator.allToAll(
        send: gradientArena.pointer, sendCounts: sliceCounts + entry, sendOffsets: sliceOffsets + entry,
        receive: received.pointer, receiveCounts: receiveCounts + entry, receiveOffsets: receiveOffsets + entry)
      return GradientPieces(pointers: UnsafePointer(pointers + entry), count: communicator.size)
    }
    let range = layout.buckets[bucket]
    try communicator.allReduceSum(
      UnsafeMutableBufferPointer(start: gradientArena.pointer + range.lowerBound, count: range.count))
    return GradientPieces(pointers: UnsafePointer(pointers + entry), count: 1)
  }

  func sum(_ values: UnsafeMutablePointer<Double>, count: Int, rows: Int) throws {
    try communicator.sumRows(values, count: count, rows: rows, scratch: partials)
  }

  func publish(step: Int, bucket: Int) throws {
    let entry = bucket * communicator.size
    try communicator.allGather(
      send: parameterArena.pointer + sliceOffsets[entry + communicator.rank],
      count: sliceCounts[entry + communicator.rank], receive: parameterArena.pointer,
      counts: sliceCounts + entry, offsets: sliceOffsets + entry)
  }

  func finish(step: Int, votes: StepVotes) -> StepVotes {
    StepVotes(stop: ballots[0] != 0, nonFinite: ballots[1] != 0)
  }

  func shareParameters(_ point: SharedPoint, _ write: () -> Void) throws {
    write()
    for bucket in layout.buckets.indices { try publish(step: 0, bucket: bucket) }
  }

  /// All memory is this object's own, and goes with it.
  func close() {}
}

extension Communicator {
  /// As ``Exchange/sum(_:count:rows:)``, with one collective.
  ///
  /// - Parameter scratch: `size * rows * count` numbers, which are overwritten.
  func sumRows(
    _ values: UnsafeMutablePointer<Double>, count: Int, rows: Int, scratch: UnsafeMutablePointer<Double>
  ) throws {
    let total = rows * count
    try allGather(
      UnsafeBufferPointer(start: values, count: total),
      into: UnsafeMutableBufferPointer(start: scratch, count: size * total))
    values.update(repeating: 0, count: count)
    for row in 0..<(size * rows) {
      for index in 0..<count { values[index] += scratch[row * count + index] }
    }
  }
}

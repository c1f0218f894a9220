import MPI

/// Numbers of elements that pieces do not divide, none, one, and a prime.
private let elementCounts = [0, 1, 2, 3, 7, 64, 1009]

/// Every collective over memory, on the world and on parts of it, in pieces of `piece` elements.
func checkCollectives(_ world: Communicator, piece: Int) throws {
  let part = try world.split(color: world.rank % 2, key: -world.rank)
  for communicator in [world, part] {
    communicator.largestPiece = piece
    for count in elementCounts {
      try checkBroadcast(communicator, count: count)
      try checkReductions(communicator, count: count, Float.self, make: Float.init)
      try checkReductions(communicator, count: count, Double.self, make: Double.init)
      try checkReductions(communicator, count: count, Int.self, make: { $0 })
      try checkReductions(communicator, count: count, Int32.self, make: Int32.init)
      try checkEqualGather(communicator, count: count)
      for inPlace in [false, true] { try checkUnevenGather(communicator, count: count, inPlace: inPlace) }
      try checkAllToAll(communicator, count: count)
      for root in 0..<communicator.size { try checkGather(communicator, count: count, root: root) }
    }
  }
  try part.free()
}

private func checkBroadcast(_ communicator: Communicator, count: Int) throws {
  for root in 0..<communicator.size {
    var bytes = [UInt8](repeating: 0, count: count)
    if communicator.rank == root { bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 &+ root) } }
    try bytes.withUnsafeMutableBytes { try communicator.broadcast($0, root: root) }
    try expectEqual(bytes, (0..<count).map { UInt8(truncatingIfNeeded: $0 &+ root) }, "broadcast from \(root)")
  }
}

private func checkReductions<T: MPINumber & Equatable>(
  _ communicator: Communicator, count: Int, _ type: T.Type, make: (Int) -> T
) throws {
  // Key is -rank in the split, but sums, minima and maxima know no order.
  let own = (0..<count).map { make(sample(rank: communicator.rank, index: $0)) }
  var buffer = own
  try buffer.withUnsafeMutableBufferPointer { try communicator.allReduceSum($0) }
  let ranks = 0..<communicator.size
  try expectEqual(
    buffer, (0..<count).map { index in make(ranks.map { sample(rank: $0, index: index) }.reduce(0, +)) },
    "sum of \(T.self)"
  )
  buffer = own
  try buffer.withUnsafeMutableBufferPointer { try communicator.allReduceMax($0) }
  try expectEqual(buffer, (0..<count).map { make(sample(rank: communicator.size - 1, index: $0)) }, "max of \(T.self)")
  buffer = own
  try buffer.withUnsafeMutableBufferPointer { try communicator.allReduceMin($0) }
  try expectEqual(buffer, (0..<count).map { make(sample(rank: 0, index: $0)) }, "min of \(T.self)")
}

private func checkEqualGather(_ communicator: Communicator, count: Int) throws {
  let own = (0..<count).map { Double(sample(rank: communicator.rank, index: $0)) }
  let expected = (0..<communicator.size).flatMap { rank in (0..<count).map { Double(sample(rank: rank, index: $0)) } }
  var received = [Double](repeating: -1, count: count * communicator.size)
  try received.withUnsafeMutableBufferPointer { receive in
    try own.withUnsafeBufferPointer { try communicator.allGather($0, into: receive) }
  }
  try expectEqual(received, expected, "equal all-gather of \(count)")

  // In place: what this rank gives lies where it will be received.
  received = [Double](repeating: -1, count: count * communicator.size)
  try received.withUnsafeMutableBufferPointer { receive in
    let mine = UnsafeMutableBufferPointer(rebasing: receive[(communicator.rank * count)...].prefix(count))
    _ = mine.update(from: own)
    try communicator.allGather(UnsafeBufferPointer(mine), into: receive)
  }
  try expectEqual(received, expected, "equal all-gather of \(count) in place")
}

/// Rank r has `count + 3r` elements, but rank 1 has none; blocks lie in reverse order, with gaps that must stay as they
/// were.
private func checkUnevenGather(_ communicator: Communicator, count: Int, inPlace: Bool) throws {
  let size = communicator.size
  let counts = (0..<size).map { $0 == 1 ? 0 : count + 3 * $0 }
  var offsets = [Int](repeating: 0, count: size)
  var end = 5
  for rank in (0..<size).reversed() {
    offsets[rank] = end
    end += counts[rank] + 2
  }
  var expected = [Float](repeating: -1, count: end)
  for rank in 0..<size {
    for index in 0..<counts[rank] { expected[offsets[rank] + index] = Float(sample(rank: rank, index: index)) }
  }
  let rank = communicator.rank
  let own = (0..<counts[rank]).map { Float(sample(rank: rank, index: $0)) }
  var received = [Float](repeating: -1, count: end)
  try received.withUnsafeMutableBufferPointer { receive in
    guard let base = receive.baseAddress else { return }
    if inPlace {
      for (index, value) in own.enumerated() { base[offsets[rank] + index] = value }
      try communicator.allGather(
        send: base + offsets[rank], count: own.count, receive: base, counts: counts, offsets: offsets)
    } else {
      try communicator.allGather(send: own, count: own.count, receive: base, counts: counts, offsets: offsets)
    }
  }
  try expectEqual(received, expected, "uneven all-gather of \(count), in place: \(inPlace)")
}

/// Rank s sends (s + 2d) % 5 * count / 3 elements to rank d: some pairs exchange nothing, and the two ways differ.
private func checkAllToAll(_ communicator: Communicator, count: Int) throws {
  let (rank, size) = (communicator.rank, communicator.size)
  func elements(from source: Int, to target: Int) -> Int { (source + 2 * target) % 5 * count / 3 }
  func value(_ source: Int, _ target: Int, _ index: Int) -> Float {
    Float(sample(rank: source * size + target, index: index))
  }
  let sendCounts = (0..<size).map { elements(from: rank, to: $0) }
  let receiveCounts = (0..<size).map { elements(from: $0, to: rank) }
  var (sendOffsets, receiveOffsets): ([Int], [Int]) = ([], [])
  var (send, expected): ([Float], [Float]) = ([-2], [-1])
  for peer in 0..<size {
    sendOffsets.append(send.count)
    send += (0..<sendCounts[peer]).map { value(rank, peer, $0) } + [-2]
    receiveOffsets.append(expected.count)
    expected += (0..<receiveCounts[peer]).map { value(peer, rank, $0) } + [-1]
  }
  var received = [Float](repeating: -1, count: expected.count)
  try communicator.allToAll(
    send: send, sendCounts: sendCounts, sendOffsets: sendOffsets, receive: &received, receiveCounts: receiveCounts,
    receiveOffsets: receiveOffsets)
  try expectEqual(received, expected, "all-to-all of \(count)")
}

private func checkGather(_ communicator: Communicator, count: Int, root: Int) throws {
  let (rank, size) = (communicator.rank, communicator.size)
  let counts = (0..<size).map { $0 % 2 == 1 ? 0 : count + $0 }
  let own = (0..<counts[rank]).map { Float(sample(rank: rank, index: $0)) }
  guard rank == root else {
    try communicator.gather(send: own, count: own.count, receive: nil, counts: nil, offsets: nil, root: root)
    return
  }
  var offsets: [Int] = []
  var expected: [Float] = []
  for peer in 0..<size {
    offsets.append(expected.count)
    expected += (0..<counts[peer]).map { Float(sample(rank: peer, index: $0)) } + [-1]
  }
  var received = [Float](repeating: -1, count: expected.count)
  try communicator.gather(
    send: own, count: own.count, receive: &received, counts: counts, offsets: offsets, root: root)
  try expectEqual(received, expected, "gather of \(count) at \(root)")
}

/// More elements than one MPI call can count: `count` floats, each checked.
func checkManyElements(_ world: Communicator, count: Int) throws {
  let buffer = UnsafeMutableBufferPointer<Float>.allocate(capacity: count)
  defer { buffer.deallocate() }
  for index in 0..<count { buffer[index] = world.rank == 0 ? Float(index & 0xffff) : 0 }
  try world.broadcast(UnsafeMutableRawBufferPointer(buffer), root: 0)
  for index in 0..<count where buffer[index] != Float(index & 0xffff) {
    throw CheckFailed(description: "broadcast of \(count): element \(index) is \(buffer[index])")
  }
  try world.allReduceSum(buffer)
  for index in 0..<count where buffer[index] != Float(world.size * (index & 0xffff)) {
    throw CheckFailed(description: "sum of \(count): element \(index) is \(buffer[index])")
  }
}

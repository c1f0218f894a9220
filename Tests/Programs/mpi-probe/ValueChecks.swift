import Glibc
import MPI

/// The collectives over values.
func checkValues(_ world: Communicator) throws {
  let ranks = Array(0..<world.size)
  try expectEqual(try world.allGather(world.rank * 3), ranks.map { $0 * 3 }, "all-gather of Int")
  try expectEqual(try world.allGather(Double(world.rank) / 3), ranks.map { Double($0) / 3 }, "all-gather of Double")
  try expectEqual(try world.allReduceSum(world.rank + 1), world.size * (world.size + 1) / 2, "sum of Int")
  try expectEqual(try world.allReduceSum(0.5), Double(world.size) / 2, "sum of Double")
  try expectEqual(try world.allReduceMax(world.rank), world.size - 1, "max")
  try expectEqual(try world.allReduceMin(-world.rank), 1 - world.size, "min")
  try expectEqual(try world.allReduceMin(Int.max), Int.max, "min of the largest Int")

  let bytes = (0..<world.rank * 5).map { UInt8($0) }
  try expectEqual(
    try world.allGather(bytes: bytes), ranks.map { (0..<$0 * 5).map { UInt8($0) } }, "all-gather of bytes")
  try expectEqual(try world.allGather(bytes: []), ranks.map { _ in [] }, "all-gather of no bytes")
  try expectEqual(try world.allGather("rang \(world.rank) é"), ranks.map { "rang \($0) é" }, "all-gather of text")

  struct Settings: Codable, Equatable {
    var name: String
    var rate: Double
    var sizes: [Int]?
  }
  for root in ranks {
    let settings = Settings(name: "r\(root)", rate: 0.1 + Double(root), sizes: root == 0 ? nil : [root, .max, .min])
    try expectEqual(
      try world.broadcast(value: world.rank == root ? settings : nil, root: root), settings, "broadcast of a value")
    try expectEqual(try world.broadcast(value: world.rank == root ? 7 : nil, root: root), 7, "broadcast of a number")
    let sent = world.rank == root ? [UInt8](repeating: 9, count: root) : [1, 2, 3]
    try expectEqual(
      try world.broadcast(bytes: sent, root: root), [UInt8](repeating: 9, count: root), "broadcast of bytes")
  }
  let subnormal = Double.leastNonzeroMagnitude
  try expectEqual(
    try world.broadcast(value: world.rank == 0 ? subnormal : nil, root: 0).bitPattern, subnormal.bitPattern, "bits")

  // What JSON cannot say is an error on every rank, not a hang; so is a root without a value.
  let encoding = try expectThrows(PeerError.self, "broadcast of infinity") {
    _ = try world.broadcast(value: world.rank == 0 ? Double.infinity : nil, root: 0)
  }
  try expectEqual(encoding.rank, 0, "rank in '\(encoding)'")
  let missing = try expectThrows(PeerError.self, "broadcast of nothing") {
    _ = try world.broadcast(value: Int?.none, root: world.size - 1)
  }
  try expectEqual(missing.rank, world.size - 1, "rank in '\(missing)'")
}

/// Splitting, duplicating, freeing.
func checkCommunicators(_ world: Communicator) throws {
  // Made and freed by the thousand: a leak would use up MPI's identifiers.
  for _ in 0..<3_000 {
    let copy = try world.duplicate()
    try copy.free()
    try copy.free()
  }
  let node = try world.splitByNode()
  let hosts = try world.allGather(MPIRuntime.hostName)
  let neighbours = (0..<world.size).filter { hosts[$0] == MPIRuntime.hostName }
  try expectEqual(try node.allGather(world.rank), neighbours, "ranks of the node")

  let odd = try world.split(color: world.rank % 2, key: -world.rank)
  let members = (0..<world.size).filter { $0 % 2 == world.rank % 2 }
  try expectEqual(odd.size, members.count, "size of the split")
  try expectEqual(try odd.allGather(world.rank), members.reversed(), "order by key")

  // An error agreed on in a part names the rank in the world.
  let failing = members.min() ?? -1
  let error = try expectThrows(PeerError.self, "agree in a part") {
    try odd.agree(on: "a part") { if world.rank == failing { throw ProbeError(text: "bad") } }
  }
  try expectEqual(error.rank, failing, "world rank in '\(error)'")
  try expectEqual(error.participantCount, members.count, "participants in '\(error)'")
  try world.barrier()
}

/// What MPI refuses becomes an error that names the call.
func checkMisuse(_ world: Communicator) throws {
  var value = 1
  let root = try expectThrows(MPIError.self, "a root that is no rank") {
    try withUnsafeMutableBytes(of: &value) { try world.broadcast($0, root: world.size + 3) }
  }
  try expectEqual(root.call, "MPI_Bcast", "call")
  try expect(root.code != 0 && "\(root)".hasPrefix("MPI_Bcast failed: MPI_ERR_ROOT"), "\(root)")

  let color = try expectThrows(MPIError.self, "a negative color") { _ = try world.split(color: -1, key: 0) }
  try expectEqual(color.call, "MPI_Comm_split", "call")

  let gather = try expectThrows(MPIError.self, "a buffer of the wrong size") {
    let numbers = [1.0, 2.0]
    var received = [Double](repeating: 0, count: 2 * world.size + 1)
    try received.withUnsafeMutableBufferPointer { receive in
      try numbers.withUnsafeBufferPointer { try world.allGather($0, into: receive) }
    }
  }
  try expectEqual(gather.call, "MPI_Allgather", "call")

  // The others send 2 elements to rank 0, which expects 3 (MPI itself is silent) or 1 from each.
  for expected in [3, 1] where world.size > 1 {
    let send = [Float](repeating: 1, count: 2 * world.size)
    var received = [Float](repeating: 0, count: 3 * world.size)
    let sendCounts = (0..<world.size).map { $0 == 0 && world.rank > 0 ? 2 : 0 }
    let receiveCounts = (0..<world.size).map { world.rank == 0 && $0 > 0 ? expected : 0 }
    let offsets = (0..<world.size).map { $0 * 2 }
    let exchange = {
      try world.allToAll(
        send: send, sendCounts: sendCounts, sendOffsets: offsets, receive: &received, receiveCounts: receiveCounts,
        receiveOffsets: offsets)
    }
    if world.rank == 0 {
      _ = try expectThrows(MPIError.self, "2 elements where \(expected) were expected", exchange)
    } else {
      try exchange()
    }
    try world.barrier()
  }
}

/// A second thread with a communicator of its own, in collectives at the same time as this one.
func checkThreads(_ world: Communicator) throws {
  try expect(MPIRuntime.threadLevel == .multiple, "thread level is \(MPIRuntime.threadLevel)")
  final class Work: @unchecked Sendable {  // Handed to the thread; read again only after the thread was joined.
    let communicator: Communicator
    var sum = 0
    var failure: (any Error)?
    init(_ communicator: Communicator) { self.communicator = communicator }
  }
  let work = Work(try world.duplicate())
  var thread = pthread_t()
  let started = pthread_create(
    &thread, nil,
    { argument in
      guard let argument else { return nil }
      let work = Unmanaged<Work>.fromOpaque(argument).takeUnretainedValue()
      do {
        for round in 0..<500 { work.sum += try work.communicator.allReduceSum(round) }
      } catch {
        work.failure = error
      }
      return nil
    }, Unmanaged.passUnretained(work).toOpaque())
  try expectEqual(started, 0, "pthread_create")
  var sum = 0
  for round in 0..<500 { sum += try world.allReduceSum(2 * round) }
  pthread_join(thread, nil)
  if let failure = work.failure { throw failure }
  try expectEqual(work.sum, world.size * 499 * 500 / 2, "sum of the thread")
  try expectEqual(sum, world.size * 499 * 500, "sum beside the thread")
}

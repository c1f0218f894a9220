import Glibc
import MPI

/// Messages sent again and again arrive, each time with what lies there then; one of another length is an error.
func checkMessages(_ world: Communicator) throws {
  let own = try world.duplicate()
  let (next, previous) = ((world.rank + 1) % world.size, (world.rank + world.size - 1) % world.size)
  let count = 100_000
  let sent = UnsafeMutablePointer<Float>.allocate(capacity: count)
  let received = UnsafeMutablePointer<Float>.allocate(capacity: count)
  let halves = UnsafeMutablePointer<UInt16>.allocate(capacity: 2)
  defer { for memory in [sent, received] { memory.deallocate() } }
  defer { halves.deallocate() }
  sent.initialize(repeating: 0, count: count)
  received.initialize(repeating: 0, count: count)
  halves.initialize(repeating: 0, count: 2)
  let messages = try RepeatedMessages(over: own, capacity: 4)
  try messages.addReceive(received, count: count, from: previous, tag: 3)
  try messages.addReceive(halves, count: 1, from: previous, tag: 4)
  try messages.addSend(UnsafePointer(sent), count: count, to: next, tag: 3)
  try messages.addSend(UnsafePointer(halves + 1), count: 1, to: next, tag: 4)
  try expectEqual(messages.count, 4, "messages")
  try expectEqual(try messages.isComplete(0..<4), true, "nothing has been started")
  for round in 0..<20 {
    for index in 0..<count { sent[index] = Float(round * 7 + world.rank + index) }
    halves[1] = UInt16(round * 100 + world.rank)
    try messages.start(0..<2)
    if world.size > 1 { try expectEqual(try messages.isComplete(0..<1), false, "a message that nobody can have sent") }
    try own.barrier()
    try messages.start(2..<4)
    while try !messages.isComplete(0..<4) {}
    for index in [0, 1, count / 2, count - 1] {
      try expectEqual(received[index], Float(round * 7 + previous + index), "element \(index) in round \(round)")
    }
    try expectEqual(halves[0], UInt16(round * 100 + previous), "16 bits in round \(round)")
  }
  // What is still waited for is taken back.
  try messages.start(0..<2)
  try messages.free()

  let unequal = try RepeatedMessages(over: own, capacity: 2)
  try unequal.addReceive(received, count: count, from: previous, tag: 5)
  try unequal.addSend(UnsafePointer(sent), count: count - 1, to: next, tag: 5)
  try unequal.start(0..<2)
  try own.barrier()
  _ = try expectThrows(MPIError.self, "a message that is too short") { while try !unequal.isComplete(0..<2) {} }
  _ = try expectThrows(MPIError.self, "more messages than there is room for") {
    try unequal.addSend(UnsafePointer(sent), count: 1, to: next, tag: 6)
  }
}

/// Ranks of a node follow each other, in any order that they had; pretended nodes are as given.
func checkNodes(_ world: Communicator) throws {
  // `world` has been grouped already; this is mpirun's order.
  let ungrouped = try Communicator.world()
  guard let list = getenv("FREEWHEEL_PRETENDED_NODES").map({ String(cString: $0) }) else {
    try expectEqual(try world.splitByNode().size, world.size, "ranks of this machine")
    try expectEqual(try ungrouped.groupedByNode() === ungrouped, true, "ranks in order are left alone")
    return
  }
  let nodes = list.split(separator: ",").map { Int($0) ?? -1 }
  try expectEqual(
    try ungrouped.splitByNode().allGather(ungrouped.rank),
    nodes.indices.filter { nodes[$0] == nodes[ungrouped.rank] }, "ranks of the pretended node")
  // Nodes by their first ranks, ranks of a node in their order.
  let order = nodes.indices.sorted {
    (nodes.firstIndex(of: nodes[$0]) ?? 0, $0) < (nodes.firstIndex(of: nodes[$1]) ?? 0, $1)
  }
  try expectEqual(try world.allGather(ungrouped.rank), order, "mpirun's ranks, grouped")
  try expectEqual(try world.groupedByNode() === world, true, "a grouped communicator is left alone")
  let node = try world.splitByNode()
  let first = try node.allReduceMin(world.rank)
  try expectEqual(world.rank, first + node.rank, "ranks of a node follow each other")
}

import Glibc
import MPI
import Synchronization

/// Sizes, places and visibility of the segments.
func checkWindow(_ world: Communicator) throws {
  let node = try world.splitByNode()
  let pageSize = Int(sysconf(Int32(_SC_PAGESIZE)))
  for base in [0, 1, 63, 4096, 100_003] {
    // Uneven, and rank 1 has none.
    let sizes = (0..<node.size).map { $0 == 1 ? 0 : base * ($0 + 1) }
    let window = try SharedWindow(node: node, byteCount: sizes[node.rank])
    try expectEqual(window.segmentCount, node.size, "segments")
    for rank in 0..<node.size {
      let segment = window.segment(of: rank)
      try expectEqual(segment.count, sizes[rank], "size of segment \(rank)")
      let address = Int(bitPattern: segment.baseAddress)
      try expect(address != 0 && address % pageSize == 0, "segment \(rank) lies at \(address)")
      try expect(segment.allSatisfy { $0 == 0 }, "segment \(rank) is not zero")
    }
    try node.barrier()
    for index in 0..<sizes[node.rank] { window.segment(of: node.rank)[index] = byte(node.rank, index) }
    try node.barrier()
    for rank in 0..<node.size {
      for (index, value) in window.segment(of: rank).enumerated() where value != byte(rank, index) {
        throw CheckFailed(description: "byte \(index) of segment \(rank) is \(value) for rank \(node.rank)")
      }
    }
    // And back: the next rank writes into this rank's segment.
    try node.barrier()
    let next = window.segment(of: (node.rank + 1) % node.size)
    if !next.isEmpty { next[next.count - 1] = UInt8(200 + node.rank) }
    try node.barrier()
    if let last = window.segment(of: node.rank).last {
      try expectEqual(Int(last), 200 + (node.rank + node.size - 1) % node.size, "byte written by the rank before")
    }
    if base == 1 { try window.free() }  // The others are left to the end of MPI.
  }
}

private func byte(_ rank: Int, _ index: Int) -> UInt8 { UInt8(truncatingIfNeeded: 1 + rank * 31 + index) }

/// A token goes round the ranks through atomics alone: each round's data must be visible with it.
func checkWindowAtomics(_ world: Communicator) throws {
  let node = try world.splitByNode()
  let payload = 1_000
  let window = try SharedWindow(node: node, byteCount: (8 + payload) * MemoryLayout<Int>.stride)
  // A cache line for the token, which lives with rank 0; then the payload of each rank.
  let token = counter(in: window, rank: 0)
  let rounds = 200
  for round in 0..<rounds {
    let turn = round * node.size + node.rank
    while token.pointee.load(ordering: .acquiring) != turn { sched_yield() }
    let previous = values(in: window, rank: (node.rank + node.size - 1) % node.size)
    if turn > 0 {
      for index in 0..<payload where previous[index] != turn - 1 + index {
        throw CheckFailed(description: "turn \(turn): value \(index) is \(previous[index])")
      }
    }
    let own = values(in: window, rank: node.rank)
    for index in 0..<payload { own[index] = turn + index }
    token.pointee.store(turn + 1, ordering: .releasing)
  }
  try node.barrier()

  // All ranks add to the counters of all ranks at once.
  for rank in 0..<node.size {
    for _ in 0..<1_000 { counter(in: window, rank: rank, index: 1).pointee.add(1, ordering: .relaxed) }
  }
  try node.barrier()
  for rank in 0..<node.size {
    try expectEqual(
      counter(in: window, rank: rank, index: 1).pointee.load(ordering: .relaxed), 1_000 * node.size, "counter \(rank)")
  }
}

/// Sound: the window is zero at first, which is `Atomic(0)`, and these words are used as atomics only.
private func counter(in window: SharedWindow, rank: Int, index: Int = 0) -> UnsafeMutablePointer<Atomic<Int>> {
  let words = window.segment(of: rank).baseAddress! + index * MemoryLayout<Int>.stride
  return words.bindMemory(to: Atomic<Int>.self, capacity: 1)
}

private func values(in window: SharedWindow, rank: Int) -> UnsafeMutablePointer<Int> {
  let start = window.segment(of: rank).baseAddress! + 8 * MemoryLayout<Int>.stride
  return start.bindMemory(to: Int.self, capacity: 1)
}

/// A window that cannot be had is the same error on all ranks, and all can go on without it.
func checkWindowTooLarge(_ world: Communicator) throws {
  let node = try world.splitByNode()
  // Only rank 0 asks for much: the others must learn of it.
  let ask = { _ = try SharedWindow(node: node, byteCount: node.rank == 0 ? 1 << 46 : 64) }
  if node.size == 1 {
    // A rank alone gets ordinary memory, and MPI itself finds that there is not so much.
    _ = try expectThrows(MPIError.self, "64 TiB of ordinary memory", ask)
  } else {
    let error = try expectThrows(SharedWindowError.self, "a window of 64 TiB", ask)
    guard case .tooSmall(let folder, let host, let free, let needed, let ranks) = error else { throw error }
    try expectEqual(folder, SharedWindow.folder, "folder")
    try expectEqual(host, MPIRuntime.hostName, "host")
    try expect(free > 0 && needed >= 1 << 46 && ranks.count == node.size, "\(error)")
    let said = try node.allGather("\(error)")
    try expect(said.allSatisfy { $0 == said[0] } && !said[0].contains("\n"), "\(said)")
  }

  for bad in [-1, Int.min, Int.max] {
    let badSize = try expectThrows(SharedWindowError.self, "\(bad) bytes") {
      _ = try SharedWindow(node: node, byteCount: node.rank == node.size - 1 ? bad : 64)
    }
    guard case .badSize(let byteCount, let rank, _) = badSize else { throw badSize }
    try expect(byteCount == bad && rank == node.size - 1, "\(badSize)")
  }
  let window = try SharedWindow(node: node, byteCount: 64)
  window.segment(of: node.rank)[0] = 1
  try node.barrier()
  try expectEqual((0..<node.size).map { window.segment(of: $0)[0] }, [UInt8](repeating: 1, count: node.size), "after")
}

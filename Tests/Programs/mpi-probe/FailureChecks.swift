import Foundation
import MPI
import Synchronization

/// Agreement: all succeed, one fails, several fail, and agreements within agreements.
func checkAgreement(_ world: Communicator) throws {
  try expectEqual(try world.agree(on: "nothing") { world.rank * 2 }, world.rank * 2, "result")
  let hosts = try world.allGather(MPIRuntime.hostName)
  for failing in 0..<world.size {
    let error = try expectThrows(PeerError.self, "agree") {
      try world.agree(on: "reading the data") {
        if world.rank == failing { throw ProbeError(text: "no file 'a:\(failing)'\nat all") }
      }
    }
    try expectEqual(
      "\(error)",
      "rank \(failing) of \(world.size) on \(hosts[failing]): reading the data: no file 'a:\(failing)' at all",
      "message")
    try expectEqual(error.underlying is ProbeError, world.rank == failing, "underlying error")
    try expectEqual(error.participantCount, world.size, "participants")
    try expectEqual(error.failureCount, 1, "failures")
  }
  let all = try expectThrows(PeerError.self, "agree when all fail") {
    try world.agree(on: "thinking") { throw ProbeError(text: "no idea on \(world.rank)") }
  }
  try expect(all.rank == 0 && all.failureCount == world.size && all.cause == "no idea on 0", "\(all)")

  // The inner agreement's error passes through the outer one as it is.
  let last = world.size - 1
  let nested = try expectThrows(PeerError.self, "nested agreement") {
    try world.agree(on: "outer") {
      try world.agree(on: "inner") { if world.rank == last { throw ProbeError(text: "deep") } }
    }
  }
  try expect(nested.what == "inner" && nested.rank == last && nested.cause == "deep", "\(nested)")
  try expectEqual(nested.failureCount, 1, "failures of the inner agreement")
  try world.barrier()
}

/// One rank throws while the others wait in a collective, spin on shared memory, or have finished.
func failOnOneRank(_ world: Communicator, rank: Int, others: String) throws {
  let node = try world.splitByNode()
  // Objects whose handles are shared: their end on one rank alone must not wait for the others.
  let window = try SharedWindow(node: node, byteCount: 64)
  let own = try world.duplicate()
  if world.rank == rank { throw ProbeError(text: "disk on fire") }
  switch others {
  case "barrier": try world.barrier()
  case "spin":
    let word = window.segment(of: 0).baseAddress!.bindMemory(to: Atomic<Int>.self, capacity: 1)
    while word.pointee.load(ordering: .acquiring) == 0 {}
  case "finish":
    print("rank \(world.rank) is done")
    return
  case "collective":
    var numbers = [Float](repeating: 1, count: 1_000_000)
    try numbers.withUnsafeMutableBufferPointer { try own.allReduceSum($0) }
  default: throw CheckFailed(description: "the others cannot '\(others)'")
  }
  _ = own
}

/// One rank's error, agreed on by all and caught by none.
func failTogether(_ world: Communicator, rank: Int) throws {
  let node = try world.splitByNode()
  let window = try SharedWindow(node: node, byteCount: 64)
  try world.agree(on: "reading the data") {
    if world.rank == rank { throw ProbeError(text: "no file 'train'") }
  }
  _ = window
}

/// An error that the even ranks agree on while the odd ones wait for them.
func failInAPart(_ world: Communicator) throws {
  let part = try world.split(color: world.rank % 2, key: 0)
  if world.rank % 2 == 0 {
    try part.agree(on: "the even part") { if part.rank == part.size - 1 { throw ProbeError(text: "odd") } }
  }
  try world.barrier()
}

/// Blocks SIGTERM for a thread that waits for it and does nothing. Before MPI starts threads of its own, which inherit
/// what is blocked: one that does not block the signal ends the process by it.
func ignoreTermination() {
  var signals = terminationSignal()
  pthread_sigmask(SIG_BLOCK, &signals, nil)
  startThread {
    var signals = terminationSignal()
    var received: Int32 = 0
    while true { sigwait(&signals, &received) }
  }
}

/// Rank 0 of a program that has called `ignoreTermination` fails, and is sent SIGTERM over and over.
func failWhileTerminated(_ world: Communicator) throws {
  guard world.rank == 0 else { while true { sleep(1) } }
  startThread {
    while true {
      kill(getpid(), SIGTERM)
      usleep(10_000)
    }
  }
  usleep(200_000)
  print("rank 0 is still there")
  throw ProbeError(text: "disk on fire")
}

private func startThread(_ body: @escaping @Sendable () -> Void) { Thread.detachNewThread(body) }

private func terminationSignal() -> sigset_t {
  var signals = sigset_t()
  sigemptyset(&signals)
  sigaddset(&signals, SIGTERM)
  return signals
}

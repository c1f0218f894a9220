import ArgumentParser
import CKernels
import Foundation
import MPI
import Neural
import Training

/// Measures messages between the first host of a job and each other one.
struct NetworkBenchmark: ParallelCommand {
  static let savesOnSignals = false

  static let configuration = CommandConfiguration(
    commandName: "network",
    abstract: "Times messages between hosts: what freewheel estimate is to be told of a network.",
    discussion: "Started on several hosts, a rank on each will do. Between the ranks of one host if there is but one.")

  @Option(help: "Bytes of a large message.")
  var bytes: Int = 4 << 20

  @Option(help: "Messages of each size; the fastest counts, of processor times the median.")
  var repetitions: Int = 50

  func validate() throws {
    guard bytes >= 1024, bytes <= 1 << 30 else {
      throw ValidationError("--bytes is \(bytes); expected 1024 to 1073741824")
    }
    guard repetitions >= 1, repetitions <= 1_000_000 else {
      throw ValidationError("--repetitions is \(repetitions); expected 1 to 1000000")
    }
  }

  func run(on world: Communicator) throws -> Int32 {
    let facts = try HostFacts.gather(on: world)
    let other = facts.filter { $0.node != facts[0].node }
    // The first rank of each other host, or the second of the only one.
    let partners = other.isEmpty ? facts.dropFirst().prefix(1).map(\.rank) : firsts(of: other)
    if world.rank == 0 && partners.isEmpty { print("there is one rank only: start a rank on each host") }
    for partner in partners {
      try world.barrier()
      var (small, large, cost) = (0.0, 0.0, 0.0)
      if world.rank == 0 || world.rank == partner {
        let peer = world.rank == 0 ? partner : 0
        small = try world.exchangeSeconds(with: peer, byteCount: 8, rounds: repetitions)
        large = try world.exchangeSeconds(with: peer, byteCount: bytes, rounds: repetitions)
        cost = try processorSeconds(of: world, with: peer) / Double(bytes)
      }
      // Of both ends: some of the work of one can be done in the time of the other.
      cost = try world.sumInRankOrder([cost])[0] / 2
      let line = String(
        format: "%@ and %@: latency %.1fus, bandwidth %.1fmbit in each direction at once, %.2f ns of a core a byte",
        facts[0].host, facts[partner].host, small * 1e6, Double(bytes) * 8e-6 / max(large - small, 1e-9), cost * 1e9)
      if world.rank == 0 { print(line) }
    }
    return 0
  }

  /// What sending a large message, or receiving one, costs a core: of a thread that sleeps while messages are on their
  /// way, as the communication threads of training do. The median over the messages.
  private func processorSeconds(of world: Communicator, with peer: Int) throws -> Double {
    let outgoing = [UInt8](repeating: 1, count: bytes)
    let incoming = UnsafeMutablePointer<UInt8>.allocate(capacity: bytes)
    incoming.initialize(repeating: 0, count: bytes)
    return try outgoing.withUnsafeBufferPointer { buffer in
      guard let source = buffer.baseAddress else { return 0 }
      let messages = try RepeatedMessages(over: world, capacity: 2)
      try messages.addReceive(incoming, count: bytes, from: peer, tag: 1)
      try messages.addSend(source, count: bytes, to: peer, tag: 1)
      let both = 0..<messages.count
      var seconds: [Double] = []
      for _ in 0...repetitions {
        let start = ProfileClock.processor.seconds
        try messages.start(both)
        while !messages.isKnownComplete(both) {
          try messages.progress(both)
          fw_nap(Self.nap)
        }
        seconds.append(ProfileClock.processor.seconds - start)
      }
      try messages.free()
      // Not after an error: the other rank may still send.
      incoming.deallocate()
      // One message sent and one received; the first of all sets up what the others find ready.
      let sorted = seconds.dropFirst().sorted()
      return sorted[sorted.count / 2] / 2
    }
  }

  /// Nanoseconds between two looks at messages on their way.
  private static let nap = 200_000

  private func firsts(of facts: [HostFacts]) -> [Int] {
    Dictionary(grouping: facts, by: \.node).sorted { $0.key < $1.key }.compactMap { $0.value.first?.rank }
  }
}

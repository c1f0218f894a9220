import ArgumentParser
import Foundation
import MPI
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

  @Option(help: "Messages of each size; the fastest counts.")
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
      var line = ""
      if world.rank == 0 || world.rank == partner {
        let peer = world.rank == 0 ? partner : 0
        let small = try world.exchangeSeconds(with: peer, byteCount: 8, rounds: repetitions)
        let large = try world.exchangeSeconds(with: peer, byteCount: bytes, rounds: repetitions)
        line = String(
          format: "%@ and %@: latency %.1fus, bandwidth %.1fmbit in each direction at once", facts[0].host,
          facts[partner].host, small * 1e6, Double(bytes) * 8e-6 / max(large - small, 1e-9))
      }
      if world.rank == 0 { print(line) }
    }
    return 0
  }

  private func firsts(of facts: [HostFacts]) -> [Int] {
    Dictionary(grouping: facts, by: \.node).sorted { $0.key < $1.key }.compactMap { $0.value.first?.rank }
  }
}

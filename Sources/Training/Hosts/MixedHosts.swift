import ArgumentParser
import MPI

/// What to do where ranks run other builds, other libraries or on other instruction sets than each other.
public enum MixedHosts: String, ExpressibleByArgument, Sendable, CaseIterable {
  /// Refuse to run: results would depend on which host computes what.
  case refuse
  /// Say so and run.
  case allow
}

/// A way in which a rank differs from rank zero, though all should be alike.
struct HostDifference: Equatable {
  /// One line: what differs, and what to do.
  let description: String

  /// The first difference of each kind, in the order in which they matter.
  static func find(in facts: [HostFacts]) -> [HostDifference] {
    guard let first = facts.first else { return [] }
    func name(_ rank: HostFacts) -> String { "rank \(rank.rank) on \(rank.host)" }
    var found: [HostDifference] = []
    func compare(_ key: KeyPath<HostFacts, String>, _ text: (HostFacts) -> String) {
      guard let other = facts.first(where: { $0[keyPath: key] != first[keyPath: key] }) else { return }
      found.append(HostDifference(description: text(other)))
    }
    compare(\.executable) {
      "\(name($0)) runs another executable than \(name(first)) (fingerprint \($0.executable) against "
        + "\(first.executable)): copy the same build to every host, or start it from a file system that all share"
    }
    compare(\.mpi) {
      "\(name($0)) has \($0.mpi), \(name(first)) has \(first.mpi): install the same MPI on every host"
    }
    compare(\.oneDNN) {
      "\(name($0)) computes with oneDNN \($0.oneDNN), \(name(first)) with \(first.oneDNN): install the same version on "
        + "every host, as results differ in their last bits"
    }
    compare(\.instructionSet) {
      "\(name($0)) computes with instruction set \($0.instructionSet), \(name(first)) with \(first.instructionSet): "
        + "results would depend on which host computes what; set DNNL_MAX_CPU_ISA to the lesser of the two on all ranks "
        + "(launch/run --mpirun \"-x DNNL_MAX_CPU_ISA=…\")"
    }
    return found
  }
}

/// What is looked at before a run begins.
public enum StartupChecks {
  /// Refuses hosts that do not belong together, and tells what will make the run slow. Collective.
  ///
  /// - Parameters:
  ///   - threads: compute threads of a rank, where flags say so.
  ///   - usesMessages: whether ranks of one host exchange by messages, not in shared memory.
  /// - Returns: notes for people, and how many cores a rank has for itself.
  /// - Throws: ``TrainingError/mixedHosts(difference:)`` on every rank; `MPIError`.
  static func run(
    mixedHosts: MixedHosts, threads: Int?, usesMessages: Bool, on world: Communicator
  ) throws -> (notes: [String], coresPerRank: Double) {
    var facts = try HostFacts.gather(on: world)
    if let threads { for index in facts.indices { facts[index].threads = threads } }
    let differences = HostDifference.find(in: facts)
    if let difference = differences.first, mixedHosts == .refuse {
      throw TrainingError.mixedHosts(difference: difference.description)
    }
    var notes = differences.map(\.description) + self.notes(on: facts)
    if usesMessages && world.size > 1, let note = try SingleCopy.check(on: world)?.note { notes.append(note) }
    return (notes, HostFacts.coresPerRank(of: facts))
  }

  /// What differs between ranks though it should not, one line each.
  public static func differences(of facts: [HostFacts]) -> [String] {
    HostDifference.find(in: facts).map(\.description)
  }

  /// What makes a run slow, or its messages unclear.
  public static func notes(on facts: [HostFacts]) -> [String] { crowding(facts) + sameNames(facts) }

  /// Nodes with more compute threads than cores, or ranks bound to one core together.
  static func crowding(_ facts: [HostFacts]) -> [String] {
    var notes: [String] = []
    for ranks in byNode(facts) {
      guard let host = ranks.first?.host else { continue }
      let (cores, threads) = (HostFacts.cores(of: ranks), ranks.map(\.threads).reduce(0, +))
      let busy = ranks.filter { rank in
        rank.cores.count == 1 && ranks.contains { $0.rank != rank.rank && $0.cores == rank.cores }
      }
      if Double(threads) > cores.rounded(.up) {
        notes.append(
          "\(ranks.count) \(ranks.count == 1 ? "rank" : "ranks") on \(host) compute with \(threads) threads on "
            + "\(plain(cores)) \(cores == 1 ? "core" : "cores"): they take turns, which is slow; start fewer ranks there, "
            + "or have them yield while they wait (--mca mpi_yield_when_idle 1, as launch/run does)")
      } else if let first = busy.first {
        notes.append(
          "several ranks on \(host) are bound to core \(first.cores[0]) together, while others are idle: "
            + "--bind-to none, or a mapping of your own, gives them a core each")
      }
    }
    return notes
  }

  /// Nodes of one name: messages about hosts would not say which.
  static func sameNames(_ facts: [HostFacts]) -> [String] {
    let nodes = Dictionary(grouping: facts, by: \.host).mapValues { Set($0.map(\.node)).count }
    return nodes.filter { $0.value > 1 }.keys.sorted().map {
      "\(nodes[$0] ?? 0) hosts are named \($0): give each a name of its own, so that messages say which one is meant"
    }
  }

  static func byNode(_ facts: [HostFacts]) -> [[HostFacts]] {
    Dictionary(grouping: facts, by: \.node).sorted { $0.key < $1.key }.map(\.value)
  }

  private static func plain(_ value: Double) -> String {
    value == value.rounded() ? "\(Int(value))" : "\((value * 100).rounded() / 100)"
  }
}

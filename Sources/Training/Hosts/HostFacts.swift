import Foundation
import Glibc
import MPI
import Neural

/// What matters of the host that a rank runs on, and of the rank there.
public struct HostFacts: Codable, Sendable, Equatable {
  /// A network interface that is up.
  public struct Interface: Codable, Sendable, Equatable {
    /// Its name.
    public var name: String
    /// Its IPv4 address.
    public var address: String
    /// Megabits a second, where the system says.
    public var megabits: Int?
  }

  /// The rank.
  public var rank: Int
  /// The number of its node: ranks of a node can share memory.
  public var node: Int
  /// The host's name.
  public var host: String
  /// The process.
  public var process: Int
  /// A fingerprint of the running executable's bytes; empty if it cannot be read.
  public var executable: String
  /// Name and version of the MPI library.
  public var mpi: String
  /// How MPI may be called from several threads: single, funneled, serialized or multiple.
  public var threadLevel: String
  /// Version of oneDNN.
  public var oneDNN: String
  /// The instruction set that oneDNN computes with, as `DNNL_MAX_CPU_ISA` takes it.
  public var instructionSet: String
  /// The processor's name.
  public var processor: String
  /// The cores that this rank may run on, by number.
  public var cores: [Int]
  /// Cores that a container's quota grants to all processes in it together; nil without one.
  public var quota: Double?
  /// Threads that oneDNN computes with in this rank.
  public var threads: Int
  /// Bytes of memory of the host, or that its container may use.
  public var memory: Int
  /// Bytes of memory that can be had now.
  public var freeMemory: Int
  /// Where MPI puts shared memory.
  public var sharedFolder: String
  /// Bytes of the file system of ``sharedFolder``.
  public var sharedBytes: Int
  /// Bytes of it that are free.
  public var freeSharedBytes: Int
  /// Whether transparent huge pages are had: `always`, `madvise`, `never`, or empty where the system does not say.
  public var hugePages: String
  /// `kernel.yama.ptrace_scope`; nil where there is no such setting.
  public var ptraceScope: Int?
  /// The most files that a process may have open; nil: unlimited.
  public var openFiles: Int?
  /// The most bytes of a process's stack; nil: unlimited.
  public var stackBytes: Int?
  /// Bytes that a process may lock in memory; nil: unlimited. Fast networks want this unlimited.
  public var lockedBytes: Int?
  /// The kernel.
  public var kernel: String
  /// Networks, the loopback aside.
  public var interfaces: [Interface]

  /// What the system says of this rank.
  ///
  /// - Parameters:
  ///   - rank: this rank.
  ///   - node: the number of its node.
  public init(rank: Int, node: Int) {
    self.rank = rank
    self.node = node
    host = MPIRuntime.hostName
    process = Int(getpid())
    executable = HostProbe.executableFingerprint
    mpi = MPIRuntime.libraryVersion
    threadLevel = "\(MPIRuntime.threadLevel)"
    oneDNN = Plan.libraryVersion
    instructionSet = Plan.instructionSet
    processor = HostProbe.processor
    cores = HostProbe.allowedCores
    quota = HostProbe.quota
    threads = ComputeThreads.current ?? 1
    (memory, freeMemory) = HostProbe.memory
    sharedFolder = SharedWindow.folder
    (sharedBytes, freeSharedBytes) = HostProbe.space(of: sharedFolder)
    hugePages = HostProbe.hugePages
    ptraceScope = HostProbe.number(in: "/proc/sys/kernel/yama/ptrace_scope")
    openFiles = HostProbe.limit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue))
    stackBytes = HostProbe.limit(__rlimit_resource_t(RLIMIT_STACK.rawValue))
    lockedBytes = HostProbe.limit(__rlimit_resource_t(__RLIMIT_MEMLOCK.rawValue))
    kernel = HostProbe.text("/proc/sys/kernel/osrelease") ?? "unknown"
    interfaces = HostProbe.interfaces
  }

  /// The facts of all ranks, in rank order, on every rank. Collective.
  ///
  /// - Throws: `MPIError`.
  public static func gather(on world: Communicator) throws -> [HostFacts] {
    let own = HostFacts(rank: world.rank, node: try world.nodeNumbers()[world.rank])
    let encoded = try world.agree(on: "describing the host") { Array(try JSONEncoder().encode(own)) }
    let all = try world.allGather(bytes: encoded)
    return try world.agree(on: "reading what hosts say") {
      try all.map { try JSONDecoder().decode(HostFacts.self, from: Data($0)) }
    }
  }

  /// Cores that a rank of the first node has for itself: at most those that it may run on; less than 1 where ranks take
  /// turns.
  public static func coresPerRank(of facts: [HostFacts]) -> Double {
    let ranks = facts.filter { $0.node == facts.first?.node }
    guard !ranks.isEmpty else { return 1 }
    return cores(of: ranks) / Double(ranks.count)
  }

  /// Cores that the ranks of a node have together, as far as one of them sees.
  static func cores(of ranks: [HostFacts]) -> Double {
    let allowed = Double(Set(ranks.flatMap(\.cores)).count)
    return ranks.compactMap(\.quota).map { min($0, allowed) }.min() ?? allowed
  }
}

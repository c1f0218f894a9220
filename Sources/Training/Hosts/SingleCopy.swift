internal import CMonitoring
import Glibc
import MPI

/// Whether ranks of a host may read each other's memory: MPI then copies a large message once (CMA), else twice.
public struct SingleCopy: Sendable {
  /// The first host where it is not permitted.
  public let host: String
  /// Why, in the system's words.
  public let reason: String

  /// For people: what it means, and what to do.
  public var note: String {
    "ranks on \(host) may not read each other's memory (\(reason)), so MPI copies messages between them twice: permit it "
      + "with sysctl kernel.yama.ptrace_scope=0, in a container with --cap-add SYS_PTRACE, or silence Open MPI's warnings "
      + "with --mca btl_vader_single_copy_mechanism none"
  }

  /// Tries it on every node. Collective.
  ///
  /// - Returns: nil where it is permitted, or no two ranks share a host; the same on every rank.
  /// - Throws: `MPIError`.
  public static func check(on world: Communicator) throws -> SingleCopy? {
    let node = try world.splitByNode()
    let byte = UnsafeMutablePointer<UInt8>.allocate(capacity: 1)
    byte.initialize(to: 1)
    defer { byte.deallocate() }
    let addresses = try node.allGather(Int(bitPattern: byte))
    let processes = try node.allGather(Int(getpid()))
    let neighbour = (node.rank + 1) % node.size
    var reason = ""
    if node.size > 1 {
      let code = fw_read_memory(Int32(truncatingIfNeeded: processes[neighbour]), UInt(bitPattern: addresses[neighbour]))
      if code != 0 { reason = String(cString: strerror(code)) }
    }
    // The byte stays until all have read it.
    try node.barrier()
    try node.free()
    let reasons = try world.allGather(reason)
    guard let rank = reasons.firstIndex(where: { !$0.isEmpty }) else { return nil }
    return SingleCopy(host: try world.broadcast(value: MPIRuntime.hostName, root: rank), reason: reasons[rank])
  }
}

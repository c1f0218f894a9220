import Glibc
import MPI
import Monitoring

/// What watches a run: a recorder that is told what this rank does, where the other ranks of its node can see it, and a
/// watchdog that ends the job when it does not go on.
final class RunWatch {
  /// Is told what this rank does.
  let recorder: StepRecorder
  /// Why the watchdog sees less than it should, in words; nil where all is well.
  let notice: String?
  /// How many nodes the ranks are on.
  let nodeCount: Int
  private var watchdog: Watchdog?

  /// Collective. What the watchdog needs and cannot have makes it see less; it is no reason not to train.
  ///
  /// - Parameter timeout: seconds within which a job that does not go on is ended; 0: never.
  /// - Throws: `MPIError`.
  init(timeout: Double, on world: Communicator) throws {
    let node = try world.splitByNode()
    let (records, failure) = try Self.makeRecords(on: node)
    recorder = StepRecorder(records: records, index: records.count == node.size ? node.rank : 0)
    let localRank = node.rank
    try node.free()
    let nodes = try world.nodeNumbers()
    nodeCount = Set(nodes).count
    let sharesMemory = try world.allReduceMin(failure == nil ? 1 : 0) == 1

    guard timeout > 0 else {
      notice = nil
      return
    }
    var socket: HeartbeatSocket?
    var trouble = failure.map { "the watchdog cannot share memory with other ranks of \(MPIRuntime.hostName) (\($0))" }
    if nodeCount > 1 || !sharesMemory {
      do {
        socket = try HeartbeatSocket()
      } catch {
        trouble = "the watchdog of rank \(world.rank) can send nothing to other hosts (\(error))"
      }
    }
    let peers = try Self.peers(nodes: nodes, localRank: localRank, socket: socket, on: world)
    let token = try world.broadcast(value: UInt64.random(in: .min ... .max), root: 0)
    do {
      watchdog = try Watchdog(
        Watchdog.Configuration(
          timeout: timeout, rank: world.rank, peers: peers, records: records, socket: socket, token: token),
        say: Watchdog.writeToStandardError)
    } catch {
      trouble = "rank \(world.rank) has no watchdog (\(error))"
    }
    // Rank zero speaks, whoever's the trouble is.
    let troubles = try world.allGather(trouble ?? "")
    notice = troubles.first { !$0.isEmpty }
  }

  /// Stops watching: this rank has nothing more to do with the others.
  func stop() { watchdog = nil }

  /// Records that all ranks of the node see; of this rank alone, and why, where there is no memory to share.
  private static func makeRecords(on node: Communicator) throws -> (SharedRecords, failure: String?) {
    guard node.size > 1 else { return (SharedRecords(), nil) }
    let ownName = "/freewheel-\(getpid())-\(UInt64.random(in: .min ... .max))"
    let name: String = try node.broadcast(value: ownName, root: 0)
    var records: SharedRecords?
    var failure: String?
    func attempt(_ make: () throws -> SharedRecords) {
      do { records = try make() } catch { failure = "\(error)" }
    }
    if node.rank == 0 { attempt { try SharedRecords(creating: name, count: node.size) } }
    try node.barrier()
    if node.rank != 0 { attempt { try SharedRecords(opening: name, count: node.size) } }
    let all = try node.allReduceMin(records == nil ? 0 : 1) == 1
    if node.rank == 0 { SharedRecords.remove(name) }
    if all, let records { return (records, nil) }
    return (SharedRecords(), failure ?? "another rank could not")
  }

  /// Who all ranks are.
  private static func peers(
    nodes: [Int], localRank: Int, socket: HeartbeatSocket?, on world: Communicator
  ) throws -> [Watchdog.Peer] {
    let hosts = try world.allGather(MPIRuntime.hostName)
    let processes = try world.allGather(Int(getpid()))
    let localRanks = try world.allGather(localRank)
    let addresses = try world.allGather(
      (socket?.addresses ?? []).map { "\($0.host):\($0.port)" }.joined(separator: ","))
    return (0..<world.size).map { rank in
      Watchdog.Peer(
        rank: rank, node: nodes[rank], localRank: localRanks[rank], host: hosts[rank],
        process: Int32(truncatingIfNeeded: processes[rank]),
        addresses: addresses[rank].split(separator: ",").compactMap { text in
          let parts = text.split(separator: ":")
          guard parts.count == 2, let host = UInt32(parts[0]), let port = UInt16(parts[1]) else { return nil }
          return HeartbeatAddress(host: host, port: port)
        })
    }
  }
}

internal import CMPI
import Glibc

// Nodes: the ranks that can share memory.

extension Communicator {
  /// The ranks that can share memory with this one, in the order of their ranks here.
  ///
  /// For tests, the environment variable `FREEWHEEL_PRETENDED_NODES` divides the ranks of a machine further: it gives
  /// each rank of the job the number of the node that it is to pretend to be on, as `0,0,1,1`.
  /// - Throws: `MPIError`, also when the variable does not give every rank of the job a number.
  public func splitByNode() throws -> Communicator {
    var node: MPI_Comm?
    try check(cmpi_comm_split_node(handle, &node))
    let shared = try Communicator(adopting: node, call: "MPI_Comm_split_type")
    guard let number = try pretendedNode() else { return shared }
    let pretended = try shared.split(color: number, key: 0)
    try shared.free()
    return pretended
  }

  /// The number of each rank's node, in rank order: nodes are numbered in the order of their lowest ranks. The same on
  /// every rank. Collective.
  /// - Throws: `MPIError`.
  public func nodeNumbers() throws -> [Int] {
    let node = try splitByNode()
    let lowest = try allGather(try node.allReduceMin(rank))
    try node.free()
    let nodes = Set(lowest).sorted()
    return lowest.map { nodes.firstIndex(of: $0) ?? 0 }
  }

  /// The same ranks, numbered so that those of one node follow each other: nodes in the order of their lowest ranks,
  /// and ranks of a node in the order that they have here. Rank zero stays rank zero. This communicator itself where
  /// its ranks are so numbered already, as mpirun's mapping by slot does.
  /// - Throws: `MPIError`.
  public func groupedByNode() throws -> Communicator {
    let nodes = try nodeNumbers()
    if zip(nodes, nodes.dropFirst()).allSatisfy({ $0 <= $1 }) { return self }
    return try split(color: 0, key: nodes[rank])
  }

  private func pretendedNode() throws -> Int? {
    guard let list = getenv("FREEWHEEL_PRETENDED_NODES").map({ String(cString: $0) }), !list.isEmpty else { return nil }
    let numbers = list.split(separator: ",", omittingEmptySubsequences: false).map { Int($0) }
    let own = try worldRank(of: rank)
    guard own < numbers.count, let number = numbers[own], number >= 0 else {
      throw MPIError(
        call: "MPI_Comm_split_type", code: MPI_ERR_ARG,
        message: "FREEWHEEL_PRETENDED_NODES is '\(list)'; expected a number from 0 for each rank of the job, "
          + "as 0,0,1,1")
    }
    return number
  }
}

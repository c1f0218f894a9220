import MPI
import Monitoring

/// How sums of gradients and new y go between nodes.
public enum InterNodeAlgorithm: String, Sendable, Codable, CaseIterable {
  /// Each node exchanges with each other one: N - 1 messages, one after the other on their way.
  case direct
  /// Recursive halving and doubling: log₂ N messages. For a power of two of nodes.
  case halving
}

/// How ranks on several nodes exchange; without meaning on one node, and for the flat exchange and all-reduce.
public struct InterNodeOptions: Sendable, Equatable {
  /// What gradients and y travel as.
  public var wire: WireType
  /// Whether exchange and update go on while backward and the next forward pass compute. Off, for measurements, all of
  /// it happens in ``ShardedOptimizer/finishStep(stopRequested:loss:awaitsParameters:)``.
  public var overlaps: Bool
  /// The way between nodes.
  public var algorithm: InterNodeAlgorithm

  /// Collects options.
  public init(wire: WireType = .float32, overlaps: Bool = true, algorithm: InterNodeAlgorithm = .direct) {
    self.wire = wire
    self.overlaps = overlaps
    self.algorithm = algorithm
  }
}

/// Finds the exchange for the ranks there are.
enum ExchangeChoice {
  /// The exchange asked for, or the flat one and why, in words. Collective.
  ///
  /// - Throws: `MPIError`, ``DataParallelError``.
  static func make(
    _ kind: ExchangeKind, between options: InterNodeOptions, communicator: Communicator, layout: BucketLayout,
    sumCapacity: Int, recorder: StepRecorder
  ) throws -> (exchange: any Exchange, note: String?) {
    func collective(_ kind: ExchangeKind) throws -> any Exchange {
      try CollectiveExchange(kind: kind, communicator: communicator, layout: layout, sumCapacity: sumCapacity)
    }
    guard kind == .shared else { return (try collective(kind), nil) }
    let node = try communicator.splitByNode()
    var reason: String
    if try communicator.allReduceMin(node.size) == communicator.size {
      do {
        return (try SharedExchange(node: node, layout: layout, sumCapacity: sumCapacity), nil)
      } catch let error as SharedWindowError {
        reason = "\(error)"
      }
    } else {
      switch try topology(of: communicator, node: node, isEmpty: layout.buckets.isEmpty) {
      case .unfit(let why): reason = why
      case .fit(let topology):
        guard options.algorithm == .direct || topology.nodeCount.nonzeroBitCount == 1 else {
          throw DataParallelError.halvingNeedsPowerOfTwo(nodes: topology.nodeCount)
        }
        switch try memory(node: node, layout: layout, communicator: communicator) {
        case .unfit(let why): reason = why
        case .fit(let memory):
          let made = try TwoLevelExchange(
            communicator: communicator, node: node, topology: topology, layout: layout, options: options,
            memory: memory, sumCapacity: sumCapacity, recorder: recorder)
          return (made, nil)
        }
      }
    }
    try node.free()
    return (try collective(.flat), "using the flat exchange: \(reason)")
  }

  enum Finding<T> {
    case fit(T)
    /// Why not, in words.
    case unfit(String)
  }

  /// Whether the exchange in two levels suits the ranks there are; the same answer on every rank. Collective.
  static func topology(
    of communicator: Communicator, node: Communicator, isEmpty: Bool
  ) throws -> Finding<NodeTopology> {
    let sizes = try communicator.allGather(node.size)
    let (smallest, largest) = (sizes.min() ?? 1, sizes.max() ?? 1)
    guard smallest == largest else {
      return .unfit("nodes hold \(smallest) to \(largest) ranks; the exchange in two levels takes equal numbers")
    }
    guard smallest & (smallest - 1) == 0 else {
      return .unfit("nodes hold \(smallest) ranks; the exchange in two levels takes 1, 2, 4, 8, …, as its sums ask for")
    }
    let isOrdered = communicator.rank % smallest == node.rank
    guard try communicator.allReduceMin(isOrdered ? 1 : 0) == 1 else {
      return .unfit("the ranks of a node do not follow each other; group them with Communicator.groupedByNode()")
    }
    guard try communicator.allReduceMin(MPIRuntime.threadLevel == .multiple ? 1 : 0) == 1 else {
      return .unfit("this MPI does not let two threads of a rank communicate (MPI_THREAD_MULTIPLE)")
    }
    guard !isEmpty else { return .unfit("there are no parameters") }
    return .fit(
      NodeTopology(
        nodeCount: communicator.size / smallest, node: communicator.rank / smallest, localCount: smallest,
        local: node.rank))
  }

  /// The shared memory of this rank's node, if every node has it. Collective.
  private static func memory(
    node: Communicator, layout: BucketLayout, communicator: Communicator
  ) throws -> Finding<NodeMemory> {
    var memory: NodeMemory?
    var reason = ""
    do {
      memory = try NodeMemory(node: node, elementCount: layout.elementCount, bucketCount: layout.buckets.count)
    } catch let error as SharedWindowError {
      reason = "\(error)"
    }
    // Each node alone knows that it lacks memory.
    let reasons = try communicator.allGather(reason)
    guard let first = reasons.first(where: { !$0.isEmpty }) else {
      guard let memory else { return .unfit("there is no shared memory") }
      return .fit(memory)
    }
    try memory?.free()
    return .unfit(first)
  }
}

import MPI
import ScheduleFree

/// How gradients are cut and go between nodes: what was measured to be good, or asked for. Saved with a run, so that
/// it goes on with the same: where rules need sums over all parameters, last bits follow from the buckets' size.
public struct ExchangeTuning: Sendable, Codable, Equatable, CustomStringConvertible {
  /// Elements that a bucket grows to before it is closed.
  public var bucketCount: Int
  /// The way between nodes.
  public var algorithm: InterNodeAlgorithm
  /// The nodes that this is for; 1 where nothing goes between nodes.
  public var nodes: Int
  /// The ranks that this is for.
  public var ranks: Int

  /// Collects what was chosen.
  public init(
    bucketCount: Int = BucketLayout.defaultTargetCount, algorithm: InterNodeAlgorithm = .direct, nodes: Int, ranks: Int
  ) {
    self.bucketCount = bucketCount
    self.algorithm = algorithm
    self.nodes = nodes
    self.ranks = ranks
  }

  /// In words for people.
  public var description: String {
    "buckets of \(bucketCount * MemoryLayout<Float>.stride / 1024) KiB, \(algorithm.rawValue) between \(nodes) nodes"
  }
}

/// Chooses an ``ExchangeTuning`` from a few exchanges of zeros, before training begins.
///
/// Small buckets are exchanged early and leave little behind when backward ends, but each costs its messages. So the
/// smallest size is taken with which a whole exchange takes at most a tenth longer than with the best; and of the ways
/// between nodes the quickest for that size, the direct one unless the other is quicker by a twentieth. All ranks judge
/// by the same times, those of the slowest.
public struct ExchangeTuner {
  /// The arena, as for ``BucketLayout``.
  public var elementCount: Int
  /// Where its tensors begin.
  public var tensorOffsets: [Int]
  /// Between the nodes, but for the way, which is chosen.
  public var options: InterNodeOptions
  /// The size of buckets, where it is not to be chosen.
  public var bucketCount: Int?
  /// The way between nodes, where it is not to be chosen.
  public var algorithm: InterNodeAlgorithm?
  /// What the run went on with so far: kept where nothing else is asked for, the way between nodes on as many nodes.
  public var saved: ExchangeTuning?

  /// Collects what to choose for.
  public init(
    elementCount: Int, tensorOffsets: [Int], options: InterNodeOptions, bucketCount: Int? = nil,
    algorithm: InterNodeAlgorithm? = nil, saved: ExchangeTuning? = nil
  ) {
    self.elementCount = elementCount
    self.tensorOffsets = tensorOffsets
    self.options = options
    self.bucketCount = bucketCount
    self.algorithm = algorithm
    self.saved = saved
  }

  /// Sizes to choose from: 512 KiB, 1 MiB, 4 MiB.
  private static let sizes = [1 << 17, 1 << 18, 1 << 20]
  /// No more of the arena is exchanged to measure: 8 MiB.
  private static let measuredCount = 1 << 21
  /// One candidate is exchanged again while all its exchanges took less than this.
  private static let secondsEach = 0.1
  private static let most = 8

  /// Chooses. Collective over the ranks that will train together.
  ///
  /// - Returns: the choice, the same on every rank, and whether it was measured.
  /// - Throws: `MPIError`, ``DataParallelError``.
  public func choose(on communicator: Communicator) throws -> (tuning: ExchangeTuning, isMeasured: Bool) {
    let bucketCount = bucketCount ?? saved?.bucketCount
    var algorithm = algorithm
    var tuning = ExchangeTuning(
      bucketCount: bucketCount ?? BucketLayout.defaultTargetCount, algorithm: algorithm ?? .direct, nodes: 1,
      ranks: communicator.size)
    let node = try communicator.splitByNode()
    let finding = try ExchangeChoice.topology(of: communicator, node: node, isEmpty: elementCount == 0)
    try node.free()
    guard case .fit(let topology) = finding, topology.nodeCount > 1 else { return (tuning, false) }
    tuning.nodes = topology.nodeCount
    if let saved, saved.nodes == topology.nodeCount, saved.ranks == communicator.size {
      algorithm = algorithm ?? saved.algorithm
    }
    // Two nodes have one way only.
    let hasWays = topology.nodeCount > 2 && topology.nodeCount.nonzeroBitCount == 1
    let ways = algorithm.map { [$0] } ?? (hasWays ? InterNodeAlgorithm.allCases : [.direct])
    let (count, offsets) = measuredPart
    var layouts: [(size: Int, layout: BucketLayout)] = []
    for size in bucketCount.map({ [$0] }) ?? Self.sizes {
      let layout = try BucketLayout(elementCount: count, tensorOffsets: offsets, targetCount: size)
      // Where the whole arena is smaller than buckets, sizes make no difference, and the default is as good as any.
      if let same = layouts.firstIndex(where: { $0.layout == layout }) {
        if size == BucketLayout.defaultTargetCount { layouts[same].size = size }
      } else {
        layouts.append((size, layout))
      }
    }
    guard layouts.count * ways.count > 1 else {
      tuning.bucketCount = layouts.first?.size ?? tuning.bucketCount
      tuning.algorithm = ways[0]
      return (tuning, false)
    }
    var times: [[Double]] = []
    for (_, layout) in layouts {
      times.append(try ways.map { try seconds(layout, $0, on: communicator) })
    }
    let best = times.joined().min() ?? 0
    let size = times.firstIndex { ($0.min() ?? 0) <= 1.1 * best } ?? 0
    tuning.bucketCount = layouts[size].size
    let quickest = times[size].min() ?? 0
    let way = times[size][0] <= 1.05 * quickest ? 0 : times[size].firstIndex(of: quickest) ?? 0
    tuning.algorithm = ways[way]
    return (tuning, true)
  }

  /// The last tensors of the arena, which are exchanged first.
  private var measuredPart: (count: Int, offsets: [Int]) {
    guard elementCount > Self.measuredCount else { return (elementCount, tensorOffsets) }
    let last = (elementCount - Self.measuredCount)..<elementCount
    guard let first = tensorOffsets.first(where: { last.contains($0) }) else {
      return (Self.measuredCount, [0])
    }
    return (elementCount - first, tensorOffsets.filter { $0 >= first }.map { $0 - first })
  }

  /// Seconds of a whole exchange, by the quickest of several.
  private func seconds(
    _ layout: BucketLayout, _ algorithm: InterNodeAlgorithm, on communicator: Communicator
  ) throws -> Double {
    var options = options
    options.algorithm = algorithm
    let optimizer = try ShardedOptimizer(communicator: communicator, layout: layout, rule: SGD(), between: options)
    // The first one finds neither connections nor pages.
    _ = try optimizer.finishStep(stopRequested: false)
    var (quickest, spent, count) = (Double.infinity, 0.0, 0)
    while count == 0 || (spent < Self.secondsEach && count < Self.most) {
      try communicator.barrier()
      let start = monotonicSeconds()
      _ = try optimizer.finishStep(stopRequested: false)
      let seconds = try communicator.allReduceMax(monotonicSeconds() - start)
      quickest = min(quickest, seconds)
      spent += seconds
      count += 1
    }
    try optimizer.close()
    return quickest
  }
}

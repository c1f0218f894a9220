import DataParallel
import Foundation
import MPI
import Monitoring
import Neural
import ScheduleFree
import Training

/// A step that was measured: in a run, or now.
struct MeasuredStep {
  var profile: StepProfile
  var data = 0.0, update = 0.0, other = 0.0
  /// The whole step, as it was measured.
  var seconds = 0.0

  /// Of a run's `metrics.jsonl`: medians of the times on its lines for steps, but for the first, in which caches are
  /// cold; what else is needed from its summary.
  ///
  /// - Throws: ``EstimateError`` that says what is missing.
  init(run folder: String) throws {
    let path = folder + "/metrics.jsonl"
    guard let text = try? String(contentsOfFile: path, encoding: .utf8) else {
      throw EstimateError(description: "\(path) cannot be read; expected the folder of a run that has ended")
    }
    struct Line: Decodable {
      var event: String
      var step_milliseconds: Double?
      var compute_milliseconds: Double?, data_milliseconds: Double?, update_milliseconds: Double?
      var slowest_rank_milliseconds: Double?, other_milliseconds: Double?
      var forward_milliseconds: Double?, backward_milliseconds: Double?
      var ranks: Int?, nodes: Int?, examples_per_step: Int?, cores_per_rank: Double?
      var bucket_elements: [Double]?, bucket_announced_milliseconds: [Double]?
    }
    let lines = text.split(separator: "\n").compactMap { try? JSONDecoder().decode(Line.self, from: Data($0.utf8)) }
    guard let summary = lines.last(where: { $0.event == "summary" }), let ranks = summary.ranks,
      let nodes = summary.nodes, let examples = summary.examples_per_step, let cores = summary.cores_per_rank,
      let forward = summary.forward_milliseconds, let backward = summary.backward_milliseconds,
      let elements = summary.bucket_elements, let announced = summary.bucket_announced_milliseconds,
      elements.count == announced.count, elements.allSatisfy({ $0 >= 0 && $0 < 1e12 }), ranks > 0, nodes > 0, cores > 0,
      forward > 0, backward > 0
    else {
      throw EstimateError(
        description: "\(path) has no summary with the parts of a step; expected a run of this version that has ended")
    }
    guard nodes == 1 else {
      throw EstimateError(
        description: "\(folder) is a run on \(nodes) nodes; expected one on a single node, where nothing but computing "
          + "and updating takes time")
    }
    var steps = lines.filter { $0.event == "step" }
    if steps.count > 1 { steps.removeFirst() }
    func median(_ key: KeyPath<Line, Double?>) -> Double {
      let values = steps.compactMap { $0[keyPath: key] }.sorted()
      return values.isEmpty ? (summary[keyPath: key] ?? 0) * 1e-3 : values[values.count / 2] * 1e-3
    }
    // The summary's parts are means over all steps; the middle of the step lines says more.
    let factor = median(\.compute_milliseconds) / ((forward + backward) * 1e-3)
    profile = StepProfile(
      ranks: ranks, nodes: nodes, examples: examples, coresPerRank: cores, forward: forward * 1e-3 * factor,
      backward: backward * 1e-3 * factor, bucketElements: elements.map { Int($0) },
      announced: announced.map { $0 * 1e-3 * factor })
    data = median(\.data_milliseconds)
    update = median(\.update_milliseconds)
    other = median(\.slowest_rank_milliseconds) + median(\.other_milliseconds)
    seconds = median(\.step_milliseconds)
  }

  /// Of a model, on the ranks there are: one node's. Collective.
  ///
  /// - Throws: what the plan or the exchange meets; ``EstimateError`` on several nodes.
  init(model: String, batchSize: Int, precision: Precision, steps: Int, on world: Communicator) throws {
    guard let network = Models.byName[model]?() else {
      throw EstimateError(description: "there is no model '\(model)'")
    }
    let facts = try HostFacts.gather(on: world)
    guard Set(facts.map(\.node)).count == 1 else {
      throw EstimateError(description: "estimate measures on a single node; start it there, or give it a run's folder")
    }
    let plan = try world.agree(on: "the network") {
      try Plan(network, batchSize: batchSize, options: PlanOptions(precision: precision))
    }
    let recorder = StepRecorder()
    let buckets = try BucketLayout(elementCount: plan.layout.count, tensorOffsets: plan.layout.tensors.map(\.offset))
    let optimizer = try ShardedOptimizer(
      communicator: world, layout: buckets, rule: AdamWScheduleFree(), recorder: recorder)
    try optimizer.initializeParameters { try plan.initializeParameters(seed: 1, into: $0) }
    try plan.bind(parameters: optimizer.parameters, gradients: optimizer.gradients)
    plan.lossScale = 1 / Float(batchSize * world.size)
    try plan.fillInput(
      (0..<(plan.inputBytes.count / precision.byteCount)).map { Float(($0 &* 7919) % 256) / 128 - 1 })
    for index in plan.labels.indices { plan.labels[index] = Int32(index % plan.classCount) }

    var before: (shares: StepShares, forward: Double, backward: Double) = (StepShares(), 0, 0)
    func now() -> (shares: StepShares, forward: Double, backward: Double) {
      recorder.main.enter(.reporting)
      return (
        StepShares(recorder.main), recorder.main.seconds(in: .forward), recorder.main.seconds(in: .backward)
      )
    }
    let warmup = max(3, steps / 5)
    var start = 0.0
    for step in 0..<(warmup + steps) {
      if step == warmup {
        recorder.prepare(bucketCount: buckets.buckets.count)
        try world.barrier()
        before = now()
        start = monotonicSeconds()
      }
      recorder.main.enter(.forward)
      _ = try plan.forward(step: step, firstExample: world.rank * batchSize)
      recorder.main.enter(.backward)
      try plan.backward { optimizer.announce(finishedFrom: $0) }
      _ = try optimizer.finishStep(stopRequested: false)
    }
    let after = now()
    seconds = (monotonicSeconds() - start) / Double(steps)
    let shares = after.shares - before.shares
    let own =
      [after.forward - before.forward, after.backward - before.backward, shares[.update], shares[.waiting]]
      + recorder.announcementSeconds.map { $0 * Double(steps) }
    let means = try world.sumInRankOrder(own).map { $0 / Double(steps * world.size) }
    update = means[2]
    other = means[3]
    profile = StepProfile(
      ranks: world.size, nodes: 1, examples: batchSize * world.size,
      coresPerRank: HostFacts.coresPerRank(of: facts), forward: means[0], backward: means[1],
      bucketElements: buckets.buckets.map(\.count), announced: Array(means.dropFirst(4)))
    try optimizer.close()
  }
}

/// Why nothing can be estimated.
struct EstimateError: Error, CustomStringConvertible {
  let description: String
}

// Counts the heap allocations of whole data-parallel steps: assembling a batch, forward, backward, exchange and update,
// plain, with clipping, with global sums, with parameter groups, with several lanes a rank, and where steps may be
// skipped.
// Prints `KIND CASE: ours N first NAME` for each exchange and case; rank zero speaks.

import CAllocationCounter
import DataParallel
import Datasets
import MPI
import Neural
import RuleSupport
import ScheduleFree

/// What a step is made of.
struct Case: Sendable {
  let name: String
  let network: Sequential
  var clipNorm: Double?
  /// Batches of all ranks are normalised together.
  var pools = false
  /// Lanes of each rank, and batches of each lane in a step.
  var lanes = 1
  var batches = 1
  var nonFinite = NonFiniteSteps.reported
  /// The groups for an arena of so many elements.
  let groups: @Sendable (Int) throws -> [ParameterGroup]

  /// A network small enough for a rule that is a plain loop.
  static let small = Sequential(input: [1, 28, 28]) {
    Flatten()
    Dense("fc", 10)
  }

  /// Normalised behind the convolution.
  static let normalized = Sequential(input: [1, 28, 28]) {
    Convolution("conv", channels: 8, kernel: 3, stride: 2, bias: false)
    BatchNorm("bn")
    ReLU()
    GlobalAveragePool()
    Dense("fc", 10)
  }

  static let all = [
    Case(name: "plain", network: Models.mnist()) { [ParameterGroup(rule: try AdamWScheduleFree(), ranges: [0..<$0])] },
    Case(name: "clipped", network: Models.mnist(), clipNorm: 0.1) {
      [ParameterGroup(rule: try AdamWScheduleFree(), ranges: [0..<$0])]
    },
    Case(name: "with sums and groups, clipped", network: small, clipNorm: 0.1) {
      [
        ParameterGroup(rule: NormalizedDescent(), ranges: [0..<100, 200..<$0]),
        ParameterGroup(rule: NormalizedDescent(), ranges: [100..<200], joinsAfter: 5),
      ]
    },
    Case(name: "with ScheduleFree+", network: small) {
      [ParameterGroup(rule: try OptimizerRegistry.makeRule(named: "schedulefree-plus"), ranges: [0..<$0])]
    },
    Case(name: "with a wrapped base", network: small) {
      let rule = try OptimizerRegistry.makeRule(
        named: "schedulefree", options: OptimizerOptions([.base: "rmsprop", .weightDecay: 0.1]))
      return [ParameterGroup(rule: rule, ranges: [0..<$0])]
    },
    Case(name: "with averaged iterates", network: small) {
      let rule = try OptimizerRegistry.makeRule(
        named: "adam", options: OptimizerOptions([.averaging: "lawa", .averagingInterval: 2, .averagingWindow: 2]))
      return [ParameterGroup(rule: rule, ranges: [0..<$0])]
    },
    Case(name: "normalised over all ranks", network: normalized, pools: true) {
      [ParameterGroup(rule: try AdamWScheduleFree(), ranges: [0..<$0])]
    },
    Case(name: "in lanes", network: normalized, lanes: 4, batches: 2) {
      [ParameterGroup(rule: try AdamWScheduleFree(), ranges: [0..<$0])]
    },
    Case(name: "that may be skipped", network: normalized, lanes: 2, nonFinite: .skipped) {
      [ParameterGroup(rule: try OptimizerRegistry.makeRule(named: "schedulefree-plus"), ranges: [0..<$0])]
    },
    Case(name: "in groups", network: small) {
      [
        ParameterGroup(rule: try AdamWScheduleFree(), ranges: [0..<100, 200..<$0]),
        ParameterGroup(rule: try AdamWScheduleFree(.init(weightDecay: 0.1)), ranges: [100..<200], joinsAfter: 5),
      ]
    },
  ]
}

final class Steps {
  let plan: Plan
  let optimizer: ShardedOptimizer
  let assembler: BatchAssembler
  var sampler: Sampler
  let rank: Int
  let batch = 4
  let laneGradients: LaneGradients
  let losses: UnsafeMutablePointer<Double>
  /// A set of running statistics a lane.
  let statistics: UnsafeMutablePointer<Float>
  let statisticsCount: Int

  init(_ kind: ExchangeKind, _ test: Case, on world: Communicator) throws {
    let data = try SyntheticDigits.make(.train, examples: 0..<128)
    plan = try Plan(test.network, batchSize: batch, options: PlanOptions(seed: 1))
    sampler = try Sampler(exampleCount: 128, globalBatchSize: batch * test.batches * test.lanes * world.size, seed: 1)
    assembler = try BatchAssembler(
      data, normalization: .mnist,
      augmentation: Augmentation(cropPadding: 2, padding: .reflect, flip: .alternating, cutout: 6), seed: 1)
    optimizer = try ShardedOptimizer(
      communicator: world,
      layout: BucketLayout(
        elementCount: plan.layout.count, tensorOffsets: plan.layout.tensors.map(\.offset),
        laneCount: test.lanes * world.size),
      groups: test.groups(plan.layout.count), exchange: kind, clipNorm: test.clipNorm, nonFinite: test.nonFinite,
      largestSum: 17)
    laneGradients = try LaneGradients(for: optimizer, batchCount: test.batches)
    losses = .allocate(capacity: test.lanes)
    losses.initialize(repeating: 0, count: test.lanes)
    statisticsCount = plan.statisticsCount
    statistics = .allocate(capacity: max(test.lanes * statisticsCount, 1))
    for lane in 0..<test.lanes { plan.saveRunningStatistics(to: statistics + lane * statisticsCount) }
    rank = world.rank
    let plan = plan
    try optimizer.initializeParameters { try plan.initializeParameters(seed: 1, into: $0) }
    try plan.bind(parameters: optimizer.parameters, gradients: optimizer.gradients)
    if test.pools {
      let optimizer = optimizer
      plan.poolStatistics { try optimizer.sumOverRanks($0, count: $1) }
    }
  }

  func run(_ count: Int) throws {
    guard let images = plan.input.baseAddress, let labels = plan.labels.baseAddress else { return }
    let (optimizer, laneGradients) = (optimizer, laneGradients)
    for step in 0..<count {
      sampler.prepare(epoch: step)
      for lane in 0..<laneGradients.laneCount {
        plan.loadRunningStatistics(from: statistics + lane * statisticsCount)
        losses[lane] = 0
        for part in 0..<laneGradients.batchCount {
          let first = ((rank * laneGradients.laneCount + lane) * laneGradients.batchCount + part) * batch
          assembler.fill(
            sampler.indices(batch: 0, positions: first..<(first + batch)), epoch: step, into: images, labels: labels)
          losses[lane] += try plan.forward(step: step, firstExample: first) { try optimizer.awaitParameters(upTo: $0) }
          try optimizer.awaitExchange()
          let destination = laneGradients.destination(lane: lane, batch: part)
          if !laneGradients.isDirect { try plan.bind(gradients: destination) }
          try plan.backward { offset in
            if laneGradients.add(lane: lane, batch: part, from: offset) { optimizer.announce(finishedFrom: offset) }
          }
        }
        plan.saveRunningStatistics(to: statistics + lane * statisticsCount)
      }
      _ = try optimizer.finishStep(stopRequested: false, laneLosses: losses, awaitsParameters: false)
    }
  }

  deinit {
    losses.deallocate()
    statistics.deallocate()
  }
}

MPIProgram.run { world in
  for kind in ExchangeKind.allCases {
    for test in Case.all {
      let steps = try Steps(kind, test, on: world)
      try steps.run(3)
      allocation_counter_start()
      try steps.run(5)
      allocation_counter_stop()
      guard world.rank == 0 else { continue }
      let first = String(cString: allocation_counter_first())
      print("\(kind) \(test.name): ours \(allocation_counter_ours()) first \(first.isEmpty ? "none" : first)")
    }
  }
  return 0
}

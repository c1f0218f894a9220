// Counts the heap allocations of whole data-parallel steps: assembling a batch, forward, backward, exchange and update.
// Prints `KIND clip CLIP: ours N first NAME` for each exchange; rank zero speaks.

import CAllocationCounter
import DataParallel
import Datasets
import MPI
import Neural
import ScheduleFree

final class Steps {
  let plan: Plan
  let optimizer: ShardedOptimizer
  let assembler: BatchAssembler
  var sampler: Sampler
  let rank: Int
  let batch = 4

  init(_ kind: ExchangeKind, clipNorm: Double?, on world: Communicator) throws {
    let data = try SyntheticDigits.make(.train, examples: 0..<64)
    plan = try Plan(Models.mnist(), batchSize: batch, options: PlanOptions(seed: 1))
    sampler = try Sampler(exampleCount: 64, globalBatchSize: batch * world.size, seed: 1)
    assembler = try BatchAssembler(data, normalization: .mnist)
    optimizer = try ShardedOptimizer(
      communicator: world,
      layout: BucketLayout(elementCount: plan.layout.count, tensorOffsets: plan.layout.tensors.map(\.offset)),
      rule: AdamWScheduleFree(), exchange: kind, clipNorm: clipNorm)
    rank = world.rank
    let plan = plan
    try optimizer.initializeParameters { try plan.initializeParameters(seed: 1, into: $0) }
    try plan.bind(parameters: optimizer.parameters, gradients: optimizer.gradients)
  }

  func run(_ count: Int) throws {
    guard let images = plan.input.baseAddress, let labels = plan.labels.baseAddress else { return }
    for step in 0..<count {
      let first = rank * batch
      sampler.prepare(epoch: step)
      assembler.fill(sampler.indices(batch: 0, positions: first..<(first + batch)), into: images, labels: labels)
      _ = try plan.forward(step: step, firstExample: first)
      let optimizer = optimizer
      try plan.backward { optimizer.announce(finishedFrom: $0) }
      _ = try optimizer.finishStep(stopRequested: false)
    }
  }
}

MPIProgram.run { world in
  for kind in ExchangeKind.allCases {
    for clipNorm in [nil, 0.1] as [Double?] {
      let steps = try Steps(kind, clipNorm: clipNorm, on: world)
      try steps.run(3)
      allocation_counter_start()
      try steps.run(5)
      allocation_counter_stop()
      guard world.rank == 0 else { continue }
      let first = String(cString: allocation_counter_first())
      print(
        "\(kind) clip \(clipNorm.map { "\($0)" } ?? "off"): ours \(allocation_counter_ours())",
        "first \(first.isEmpty ? "none" : first)")
    }
  }
  return 0
}

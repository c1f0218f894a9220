import DataParallel
import Foundation
import MPI
import Neural
import ScheduleFree
import Training

/// Times training steps of a network three ways, in turn and in one run: computing alone, exchange and update
/// overlapping with computing, and both after backward.
final class OverlapBenchmark {
  private let world: Communicator
  private let name: String
  private let plan: Plan
  private let overlapping: ShardedOptimizer
  private let after: ShardedOptimizer
  private var step = 0
  /// Seconds that forward passes waited for parameters, that backward passes waited before they could write gradients,
  /// and that steps waited at their ends.
  private var (inPasses, beforeBackward, atEnds) = (0.0, 0.0, 0.0)
  /// Seconds of the forward passes and of the backward passes of steps that only compute.
  private var (forward, backward) = (0.0, 0.0)
  /// How buckets were chosen.
  private let notice: String?

  /// Steps of one kind in a row, and those before them that are not counted.
  private static let block = 5
  private static let warmup = 2

  /// Collective.
  init(
    _ network: Sequential, name: String, batchSize: Int, betweenNodes: BetweenNodesFlags, on world: Communicator
  ) throws {
    let plan = try Plan(network, batchSize: batchSize)
    let offsets = plan.layout.tensors.map(\.offset)
    let tuned = try betweenNodes.tuning(elementCount: plan.layout.count, tensorOffsets: offsets, on: world)
    notice = tuned.notice
    func optimizer(overlaps: Bool) throws -> ShardedOptimizer {
      var options = betweenNodes.options(tuned.tuning)
      options.overlaps = overlaps
      let optimizer = try ShardedOptimizer(
        communicator: world,
        layout: BucketLayout(
          elementCount: plan.layout.count, tensorOffsets: offsets, targetCount: tuned.tuning.bucketCount),
        rule: AdamWScheduleFree(), between: options)
      try optimizer.initializeParameters { try plan.initializeParameters(seed: 1, into: $0) }
      return optimizer
    }
    self.world = world
    self.name = name
    self.plan = plan
    overlapping = try optimizer(overlaps: true)
    after = try optimizer(overlaps: false)
    plan.lossScale = 1 / Float(batchSize * world.size)
    try plan.fillInput(
      (0..<plan.inputBytes.count / MemoryLayout<Float>.stride).map { Float(($0 &* 7919) % 256) / 128 - 1 })
    for index in plan.labels.indices { plan.labels[index] = Int32(index % plan.classCount) }
  }

  /// Prints the medians, on rank zero.
  func run(repetitions: Int) throws {
    var (computing, overlapped, sequential): ([Double], [Double], [Double]) = ([], [], [])
    for _ in 0..<max(1, (repetitions + Self.block - 1) / Self.block) {
      computing.append(try time(overlapping) { try self.compute() })
      overlapped.append(try time(overlapping) { try self.train(self.overlapping) })
      sequential.append(try time(after) { try self.train(self.after) })
    }
    let label = overlapping.exchangeLabel
    let note = overlapping.exchangeNote
    try overlapping.close()
    try after.close()
    guard world.rank == 0 else { return }
    func median(_ times: [Double]) -> Double { times.sorted()[times.count / 2] * 1e3 }
    let (compute, overlap, whole) = (median(computing), median(overlapped), median(sequential))
    let steps = Double(overlapped.count * (Self.block + Self.warmup))
    print("\(name), batch \(plan.batchSize) a rank, \(world.size) ranks, exchange \(label)")
    for line in [notice, note].compactMap(\.self) { print(line) }
    print(String(format: "computing alone             %9.2f ms a step", compute))
    print(
      String(
        format: "  on average forward %.2f ms, backward %.2f ms", forward / steps * 1e3, backward / steps * 1e3))
    print(String(format: "exchange overlapping        %9.2f ms a step", overlap))
    print(
      String(
        format: "  waiting in forward %.2f ms, before backward %.2f ms, at its end %.2f ms; the rest is shared cores",
        inPasses / steps * 1e3, beforeBackward / steps * 1e3, atEnds / steps * 1e3))
    print(String(format: "exchange after backward     %9.2f ms a step", whole))
    let exposed = whole - compute
    guard exposed > 0 else { return print("the exchange takes no time that could be hidden") }
    print(String(format: "hidden                      %9.0f %% of %.2f ms", 100 * (whole - overlap) / exposed, exposed))
  }

  /// Seconds a step in the midst of a block of steps, of the slowest rank. The clock starts and stops at the end of a
  /// step's backward, where an exchange that overlaps is on its way: as much of it falls out at one end as comes in at
  /// the other.
  private func time(_ optimizer: ShardedOptimizer, _ body: () throws -> Void) throws -> Double {
    try optimizer.awaitExchange()
    try world.barrier()
    // No rank reads the parameters now: binding writes zeros over their padding again.
    try plan.bind(parameters: optimizer.parameters, gradients: optimizer.gradients)
    // The first steps of a block find the caches full of other arrays, and are not counted.
    for _ in 0..<Self.warmup { try body() }
    let start = monotonicSeconds()
    for _ in 0..<Self.block { try body() }
    let seconds = monotonicSeconds() - start
    try optimizer.awaitExchange()
    return try world.allReduceMax(seconds) / Double(Self.block)
  }

  private func compute() throws {
    let start = monotonicSeconds()
    _ = try plan.forward(step: 0, firstExample: 0)
    let middle = monotonicSeconds()
    try plan.backward { _ in }
    forward += middle - start
    backward += monotonicSeconds() - middle
    // Ranks that train go in step with the slowest, however little they have to tell each other.
    try world.barrier()
  }

  private func train(_ optimizer: ShardedOptimizer) throws {
    var waited = 0.0
    _ = try plan.forward(step: step, firstExample: 0) {
      let start = monotonicSeconds()
      try optimizer.awaitParameters(upTo: $0)
      waited += monotonicSeconds() - start
    }
    let end = monotonicSeconds()
    try optimizer.awaitExchange()
    let quiet = monotonicSeconds()
    try plan.backward { optimizer.announce(finishedFrom: $0) }
    let start = monotonicSeconds()
    _ = try optimizer.finishStep(stopRequested: false, awaitsParameters: false)
    guard optimizer === overlapping else { return step += 1 }
    inPasses += waited
    beforeBackward += quiet - end
    atEnds += monotonicSeconds() - start
    step += 1
  }
}

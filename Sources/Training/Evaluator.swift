import Datasets
import MPI
import Monitoring
import Neural

/// Evaluates the parameters in the arena on a set, each example exactly once, divided over the ranks.
final class Evaluator {
  private let plan: Plan
  private let assembler: BatchAssembler
  private let count: Int
  private let share: Range<Int>
  private let world: Communicator
  private let mirrored: Bool
  private let recorder: LaneRecorder

  /// - Parameters:
  ///   - limit: evaluates so many of the first examples at most; nil: all.
  ///   - mirrored: averages the outputs for each image and its mirror image.
  /// - Throws: `DatasetError` if the normalisation does not fit the data.
  init(
    plan: Plan, test: LabeledImages, limit: Int? = nil, normalization: Normalization, on world: Communicator,
    evaluateOn: EvaluateOn, mirrored: Bool = false, recorder: LaneRecorder
  ) throws {
    self.recorder = recorder
    self.plan = plan
    self.world = world
    self.mirrored = mirrored
    assembler = try BatchAssembler(test, normalization: normalization, format: plan.batchFormat)
    count = min(test.count, limit ?? test.count)
    switch evaluateOn {
    case .all: share = evaluationShare(count: count, rank: world.rank, of: world.size)
    case .root: share = world.rank == 0 ? 0..<count : 0..<0
    }
  }

  /// Mean loss and the part of the examples classified correctly; the same on every rank. Collective.
  func run() throws -> (loss: Double, accuracy: Double) {
    recorder.enter(.evaluating)
    var lossSum = 0.0
    var correct = 0
    for first in stride(from: share.lowerBound, to: share.upperBound, by: plan.batchSize) {
      let examples = first..<min(first + plan.batchSize, share.upperBound)
      assembler.fill(examples, into: plan.inputAddress, labels: plan.labelAddress)
      let result = try plan.evaluate(count: examples.count, mirrored: mirrored)
      lossSum += result.lossSum
      correct += result.correct
      recorder.tick()
    }
    recorder.enter(.agreeing)
    let loss = try world.sumInRankOrder(lossSum) / Double(count)
    let accuracy = try world.sumInRankOrder(Double(correct)) / Double(count)
    return (loss, accuracy)
  }
}

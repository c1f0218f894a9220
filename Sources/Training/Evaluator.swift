import Datasets
import MPI
import Neural

/// Evaluates the parameters in the arena on a set, each example exactly once, divided over the ranks.
final class Evaluator {
  private let plan: Plan
  private let assembler: BatchAssembler
  private let count: Int
  private let share: Range<Int>
  private let world: Communicator
  private let views: [ImageView]
  private let weights: [Float]

  /// - Parameters:
  ///   - limit: evaluates so many of the first examples at most; nil: all.
  ///   - views: the views of each image whose outputs are averaged.
  /// - Throws: `DatasetError` if the normalisation does not fit the data.
  init(
    plan: Plan, test: LabeledImages, limit: Int? = nil, normalization: Normalization, on world: Communicator,
    evaluateOn: EvaluateOn, views: EvaluationViews = .plain
  ) throws {
    self.plan = plan
    self.world = world
    self.views = views.views.map(\.view)
    weights = views.views.map(\.weight)
    assembler = try BatchAssembler(test, normalization: normalization, format: plan.batchFormat)
    count = min(test.count, limit ?? test.count)
    switch evaluateOn {
    case .all: share = evaluationShare(count: count, rank: world.rank, of: world.size)
    case .root: share = world.rank == 0 ? 0..<count : 0..<0
    }
  }

  /// Mean loss and the part of the examples classified correctly; the same on every rank. Collective.
  func run() throws -> (loss: Double, accuracy: Double) {
    var lossSum = 0.0
    var correct = 0
    for first in stride(from: share.lowerBound, to: share.upperBound, by: plan.batchSize) {
      let examples = first..<min(first + plan.batchSize, share.upperBound)
      let result = try plan.evaluate(count: examples.count, weights: weights) { index in
        assembler.fill(examples, view: views[index], into: plan.inputAddress, labels: plan.labelAddress)
      }
      lossSum += result.lossSum
      correct += result.correct
    }
    let loss = try world.sumInRankOrder(lossSum) / Double(count)
    let accuracy = try world.sumInRankOrder(Double(correct)) / Double(count)
    return (loss, accuracy)
  }
}

import Datasets
import MPI
import Monitoring
import Neural

/// Evaluates the parameters in the arena on a set, each example exactly once, divided over the lanes.
///
/// Losses of a lane's examples are added in their order, and lanes in lane order, so that the result has the same bits
/// on any number of ranks that the lanes are divided over.
final class Evaluator {
  private let plan: Plan
  private let assembler: BatchAssembler
  private let count: Int
  /// The examples of each of this rank's lanes.
  private let shares: [Range<Int>]
  private let lanes: Lanes
  private let world: Communicator
  private let views: [ImageView]
  private let weights: [Float]
  private let recorder: ThreadRecorder

  /// - Parameters:
  ///   - limit: evaluates so many of the first examples at most; nil: all.
  ///   - views: the views of each image whose outputs are averaged.
  /// - Throws: `DatasetError` if the normalisation does not fit the data.
  init(
    plan: Plan, test: LabeledImages, limit: Int? = nil, normalization: Normalization, lanes: Lanes,
    on world: Communicator, evaluateOn: EvaluateOn, views: EvaluationViews = .plain, recorder: ThreadRecorder
  ) throws {
    self.recorder = recorder
    self.plan = plan
    self.lanes = lanes
    self.world = world
    self.views = views.views.map(\.view)
    weights = views.views.map(\.weight)
    assembler = try BatchAssembler(test, normalization: normalization, format: plan.batchFormat)
    count = min(test.count, limit ?? test.count)
    switch evaluateOn {
    case .all: shares = lanes.own.map { [count] in evaluationShare(count: count, rank: $0, of: lanes.count) }
    case .root: shares = lanes.own.map { [count] in $0 == 0 ? 0..<count : 0..<0 }
    }
  }

  /// Mean loss and the part of the examples classified correctly; the same on every rank. Collective.
  func run() throws -> (loss: Double, accuracy: Double) {
    let own = try shares.map(sums(over:))
    recorder.enter(.agreeing)
    let sums = try lanes.sum(own, on: world)
    return (sums[0] / Double(count), sums[1] / Double(count))
  }

  /// The sum of the losses of some examples, and how many of them are classified correctly.
  private func sums(over share: Range<Int>) throws -> [Double] {
    recorder.enter(.evaluating)
    var lossSum = 0.0
    var correct = 0
    for first in stride(from: share.lowerBound, to: share.upperBound, by: plan.batchSize) {
      let examples = first..<min(first + plan.batchSize, share.upperBound)
      let result = try plan.evaluate(count: examples.count, weights: weights) { index in
        assembler.fill(examples, view: views[index], into: plan.inputAddress, labels: plan.labelAddress)
      }
      lossSum += result.lossSum
      correct += result.correct
      recorder.tick()
    }
    return [lossSum, Double(correct)]
  }
}

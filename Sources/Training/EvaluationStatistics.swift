import Datasets
import MPI
import Monitoring
import Neural

/// What batch normalisation uses in evaluation, for the parameters at x.
///
/// The running statistics of training follow the activations of a network at y. x is another network: an average of
/// points that no batch has ever run through. So before each evaluation and each checkpoint a number of training
/// batches run forward at x, with each batch normalised by its own statistics as in training, and means and variances
/// over all of them take the place of the running ones, as the `schedulefree` package asks its users to do, and as
/// Izmailov et al. (2018, arXiv 1803.05407) do for averaged weights.
///
/// Which examples those are, and how they are augmented, is a function of the seed alone: the same in every
/// evaluation of a run, so that evaluations can be compared. Batches belong to lanes: each lane adds up its own in their
/// order, in double precision, and lanes are added in lane order, so that every rank has the same bits, on any number of
/// ranks that the lanes are divided over.
final class EvaluationStatistics {
  private let plan: Plan
  private let assembler: BatchAssembler
  private let world: Communicator
  private let lanes: Lanes
  private let laneStatistics: LaneStatistics
  /// Batches that each lane runs; 0: the running statistics of training are taken as they are.
  private let batchCount: Int
  /// The statistics of a batch are those of all ranks' batches, so the sums of a rank, which has one lane then, are of
  /// all ranks already.
  private let isPooled: Bool
  private let sampler: Sampler
  private let recorder: ThreadRecorder
  /// What was computed last, and after which step.
  private var computed: (step: Int, values: [Float])?

  /// An epoch that no run comes to: its permutation and augmentation belong to the statistics at x.
  private static let epoch = -1

  /// - Returns: nil for a network without batch normalisation, which needs none of this.
  init?(
    plan: Plan, assembler: BatchAssembler, exampleCount: Int, options: TrainingOptions, lanes: Lanes,
    laneStatistics: LaneStatistics, on world: Communicator, recorder: ThreadRecorder
  ) throws {
    guard !plan.statistics.isEmpty else { return nil }
    self.plan = plan
    self.assembler = assembler
    self.world = world
    self.lanes = lanes
    self.laneStatistics = laneStatistics
    self.recorder = recorder
    isPooled = options.poolsStatistics(over: world)
    var sampler = try Sampler(
      exampleCount: exampleCount, globalBatchSize: plan.batchSize * lanes.count, seed: options.seed,
      shuffle: !options.noShuffle, lastBatch: options.lastBatch)
    sampler.prepare(epoch: Self.epoch)
    self.sampler = sampler
    batchCount = min(options.statisticsBatches, sampler.batchesPerEpoch)
  }

  /// Puts the statistics at x into the plan while `body` runs, and those of training back afterwards. Collective.
  ///
  /// The parameters in the arena are x. What was computed for this step before is used again.
  func use<R>(step: Int, _ body: () throws -> R) throws -> R {
    let training = plan.runningStatistics
    defer { plan.runningStatistics = training }
    plan.runningStatistics = try values(step: step)
    return try body()
  }

  /// Whether those of this step are known, so that nobody has to write x for them.
  func areKnown(step: Int) -> Bool { computed?.step == step }

  /// The statistics at x, the same bits on every rank. Collective, and as ``use(step:_:)`` otherwise.
  func values(step: Int) throws -> [Float] {
    if let computed, computed.step == step { return computed.values }
    let values = batchCount == 0 ? try meanOfTraining() : try recomputed()
    computed = (step, values)
    return values
  }

  private func recomputed() throws -> [Float] {
    let training = plan.runningStatistics
    defer { plan.runningStatistics = training }
    let own = try lanes.own.map { try accumulated(lane: $0) }
    try plan.adoptStatistics(isPooled ? own[0] : lanes.sum(own, on: world))
    return plan.runningStatistics
  }

  /// The sums over the batches of one lane.
  private func accumulated(lane: Int) throws -> [Double] {
    plan.resetAccumulatedStatistics()
    recorder.enter(.statistics)
    let first = lane * plan.batchSize
    for batch in 0..<batchCount {
      assembler.fill(
        sampler.indices(batch: batch, positions: first..<(first + plan.batchSize)), epoch: Self.epoch,
        into: plan.inputAddress, labels: plan.labelAddress)
      // Dropout's masks are those of steps that no run comes to.
      try plan.accumulateStatistics(step: -1 - batch, firstExample: first)
      recorder.tick()
    }
    recorder.enter(.agreeing)
    return plan.accumulatedStatistics
  }

  /// Each lane's running statistics follow its own batches; their mean is for all.
  private func meanOfTraining() throws -> [Float] {
    let rows = laneStatistics.rows.map { $0.map(Double.init) }
    return try lanes.sum(rows, on: world).map { Float($0 / Double(lanes.count)) }
  }
}

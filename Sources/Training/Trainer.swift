import Datasets
import DataParallel
import Foundation
import MPI
import Monitoring
import Neural
import ScheduleFree

/// Trains a network data-parallel over the ranks of a communicator, evaluates it at x, and saves it so that it can be
/// resumed.
///
/// The loop of every rank: for each of its lanes assemble the lane's part of the global batch, forward and backward at
/// y; then exchange gradients and update its shard. Rank zero reports events. Not thread-safe. A program that trains
/// several times makes one after the other, and closes each.
public final class Trainer {
  let world: Communicator
  let lanes: Lanes
  let options: TrainingOptions
  let data: TrainingData
  let plan: Plan
  let optimizer: ShardedOptimizer
  let checkpoints: RunCheckpoints
  let evaluator: Evaluator
  /// Evaluates training examples, where that was asked for.
  let trainingEvaluator: Evaluator?
  let watch: RunWatch
  var trace: RunTrace?
  let coresPerRank: Double
  let assembler: BatchAssembler
  var sampler: Sampler
  var listeners: [any TrainingListener]
  let settings: RunSettings
  let groups: [TensorGroup]
  /// The group whose learning rate is logged: the one that the flags give, without any tensor's factor or delay.
  let loggedGroup: Int
  let totalSteps: Int
  /// Adds up the gradients of this rank's lanes.
  let laneGradients: LaneGradients
  let laneStatistics: LaneStatistics
  /// The loss of each of this rank's lanes in the step at hand: the sum over its examples, and behind those of all
  /// lanes the same divided by the global batch. Owned by this object; arrays that are changed in a step allocate in
  /// debug builds.
  let laneLosses: UnsafeMutablePointer<Double>
  var clock = StepClock()
  var progress: RunProgress
  let startNotices: [String]
  /// What batch normalisation uses in evaluation; nil for a network without it.
  let statistics: EvaluationStatistics?

  /// The name of the running executable.
  public static var programName: String {
    CommandLine.arguments.first.flatMap { $0.split(separator: "/").last }.map(String.init) ?? "run"
  }

  var isRoot: Bool { world.rank == 0 }
  /// Is told what this thread does.
  var recorder: ThreadRecorder { watch.recorder.main }
  var globalBatch: Int { sampler.globalBatchSize }

  /// Builds everything a run needs, and finds or makes its folder. Collective; no training happens yet.
  ///
  /// - Parameters:
  ///   - network: the network to train.
  ///   - data: what to train on and to test with.
  ///   - options: the flags.
  ///   - world: the ranks that train together.
  ///   - initialValues: values, in canonical order, that parameters of these names start from in place of their layers'
  ///     own; for a run that is neither resumed nor started from given weights.
  ///   - program: the program's name: run folders are called after it, and `--resume auto` looks for it.
  ///   - listeners: receive events on rank zero, after progress and metrics.
  ///   - printsProgress: whether rank zero prints the run for people; false for a program that does so itself.
  ///   - trainingExamplesEvaluated: so many of the first training examples are evaluated at x as well, each time that
  ///     the test set is.
  /// - Throws: on every rank, what makes the run impossible.
  public init(
    _ network: Sequential, data: TrainingData, options: TrainingOptions, on world: Communicator,
    initialValues: [String: [Float]] = [:], program: String = Trainer.programName,
    listeners: [any TrainingListener] = [], printsProgress: Bool = true, trainingExamplesEvaluated: Int = 0
  ) throws {
    self.world = world
    self.options = options
    self.data = data
    try options.fingerprint(program: program).verify(over: world)
    watch = try RunWatch(timeout: options.stallTimeout, on: world)
    let recorder = watch.recorder.main
    let lanes = try Lanes(options.lanes, on: world)
    if options.poolsStatistics(over: world) || (options.batchStatistics == .global && lanes.count > 1) {
      guard lanes.perRank == 1 else { throw TrainingError.pooledLanes(lanes: lanes.count, ranks: world.size) }
    }
    self.lanes = lanes
    let globalBatch = options.batchSize * options.accumulate * lanes.count
    if let threads = options.threadsPerRank {
      try world.agree(on: "threads") { try ComputeThreads.set(threads) }
    }
    let threads = try ComputeThreads.describe(on: world)
    let (hostNotes, coresPerRank) = try StartupChecks.run(
      mixedHosts: options.mixedHosts, threads: options.threadsPerRank, usesMessages: options.exchange != .shared,
      on: world)
    self.coresPerRank = coresPerRank
    let choice = try PrecisionChoice.agree(options, on: world)
    let (sampler, plan) = try world.agree(on: "network and data") {
      try Self.check(data, fits: network)
      let sampler = try Sampler(
        exampleCount: data.training.count, globalBatchSize: globalBatch, seed: options.seed,
        shuffle: !options.noShuffle, lastBatch: options.lastBatch)
      let plan = try Plan(
        network, batchSize: options.batchSize,
        options: PlanOptions(
          convolution: options.convolution, dropoutScale: options.dropoutScale,
          labelSmoothing: options.labelSmoothing, seed: options.seed, precision: choice.precision))
      guard plan.classCount >= data.training.classCount else {
        throw TrainingError.tooFewOutputs(
          outputs: plan.classCount, classes: data.training.classCount, data: data.training.name)
      }
      return (sampler, plan)
    }
    self.sampler = sampler
    self.plan = plan
    totalSteps = options.steps ?? (options.epochs ?? TrainingOptions.defaultEpochs) * sampler.batchesPerEpoch
    let totalSteps = totalSteps
    let rule: any UpdateRule
    var groups: [TensorGroup]
    (rule, groups) = try world.agree(on: "optimizer") {
      (
        try options.optimizer.makeRule(totalSteps: totalSteps),
        try options.makeGroups(layout: plan.layout, totalSteps: totalSteps)
      )
    }
    loggedGroup = groups.addLoggedGroup(rule: rule)
    self.groups = groups
    settings = RunSettings(
      program: program, options: options, rule: rule, layout: plan.layout, network: network, data: data,
      precision: choice.precision, rankCount: world.size, laneCount: lanes.count,
      computeThreads: threads.setting, totalSteps: totalSteps)
    try settings.fingerprint.verify(over: world)

    let start = try RunCheckpoints.findStart(options: options, program: program, settings: settings, on: world)
    let tuned = try options.tuning(for: plan, rule: rule, saved: start?.state?.exchange, on: world)
    let buckets = try BucketLayout(
      elementCount: plan.layout.count, tensorOffsets: plan.layout.tensors.map(\.offset),
      targetCount: tuned.tuning.bucketCount, laneCount: lanes.count)
    optimizer = try ShardedOptimizer(
      communicator: world, layout: buckets, groups: groups.map(\.group), exchange: options.exchange,
      between: options.betweenNodes.options(tuned.tuning), clipNorm: options.clipNorm,
      nonFinite: options.onNonfinite.steps,
      largestSum: 2 * (plan.statistics.map(\.count).max() ?? 0) + 1, recorder: watch.recorder)
    if options.poolsStatistics(over: world) {
      let optimizer = optimizer
      plan.poolStatistics { try optimizer.sumOverRanks($0, count: $1) }
    }
    laneGradients = try LaneGradients(for: optimizer, batchCount: options.accumulate)
    laneStatistics = LaneStatistics(
      plan: plan, laneCount: lanes.perRank, keepsPrevious: options.onNonfinite == .skip)
    laneLosses = .allocate(capacity: 2 * lanes.perRank)
    laneLosses.initialize(repeating: 0, count: 2 * lanes.perRank)
    plan.lossScale = 1 / Float(globalBatch)
    try plan.bind(parameters: optimizer.parameters, gradients: optimizer.gradients)
    assembler = try BatchAssembler(
      data.training, normalization: data.normalization, format: plan.batchFormat, augmentation: data.augmentation,
      seed: options.seed)
    statistics = try EvaluationStatistics(
      plan: plan, assembler: assembler, exampleCount: data.training.count, options: options, lanes: lanes,
      laneStatistics: laneStatistics, on: world, recorder: recorder)
    evaluator = try Evaluator(
      plan: plan, test: data.test, normalization: data.normalization, lanes: lanes, on: world,
      evaluateOn: options.evaluateOn, views: options.evaluateViews, recorder: recorder)
    trainingEvaluator =
      try trainingExamplesEvaluated <= 0
      ? nil
      : Evaluator(
        plan: plan, test: data.training, limit: trainingExamplesEvaluated, normalization: data.normalization,
        lanes: lanes, on: world, evaluateOn: options.evaluateOn, recorder: recorder)
    checkpoints = try RunCheckpoints(
      from: start, options: options, program: program, settings: settings, tuning: tuned.tuning, totalSteps: totalSteps,
      plan: plan,
      optimizer: optimizer, lanes: lanes, laneStatistics: laneStatistics, initialValues: initialValues, on: world)
    progress = checkpoints.progress
    let firstStep = progress.step + 1
    if let path = options.trace, firstStep <= totalSteps || options.traceSteps != nil {
      let first = min(firstStep + 10, max(firstStep, totalSteps - 9))
      trace = try RunTrace(
        path: path, steps: options.traceSteps?.range ?? first...min(first + 9, totalSteps), firstStep: firstStep,
        totalSteps: totalSteps, batchesPerStep: lanes.perRank * options.accumulate, plan: plan,
        bucketCount: buckets.buckets.count, recorder: watch.recorder, on: world)
    }
    startNotices =
      hostNotes
      + [
        watch.notice, threads.notice, choice.notice, tuned.notice,
        options.threadsPerRank.flatMap(ComputeThreads.notice),
        checkpoints.notice,
      ].compactMap(\.self)
    self.listeners = []
    if isRoot {
      if printsProgress { self.listeners.append(ProgressPrinter(quiet: options.quiet)) }
      if let metrics = checkpoints.metricsListener { self.listeners.append(metrics) }
      self.listeners += listeners
    }
  }

  deinit { laneLosses.deallocate() }

  /// Refuses data that the network cannot take.
  private static func check(_ data: TrainingData, fits network: Sequential) throws {
    for set in [data.training, data.test] {
      let shape = [set.channels, set.height, set.width]
      guard shape == network.input else {
        throw TrainingError.dataShape(data: set.name, found: shape, expected: network.input)
      }
    }
  }

  /// The run folder, on every rank.
  public var runFolder: String { checkpoints.folderPath }

  /// Gives back the memory that the ranks share, before the program ends; nothing else may be called afterwards.
  /// Collective. Only programs that go on to train something else need it.
  ///
  /// - Throws: `MPIError`.
  public func close() throws { try optimizer.close() }

  // MARK: - The run

  /// Trains to the end, or until a rank is asked to stop. Collective.
  ///
  /// - Returns: the exit code: 0 at the end, 75 if the run stopped on request, with a checkpoint to resume from.
  /// - Throws: on every rank, or on one, which then ends the job: ``TrainingError/diverged(what:value:step:)`` and
  ///   ``TrainingError/onlySkips(count:finding:step:)``; what the plan, the exchange, the checkpoints or a listener meet.
  public func run() throws -> Int32 {
    defer { watch.stop() }
    try report(.start(describe()))
    if let note = optimizer.exchangeNote { try report(.notice(note)) }
    for note in startNotices { try report(.notice(note)) }
    if progress.step >= totalSteps {
      let position = "step \(progress.step) of \(totalSteps)"
      try report(.notice("the run is at \(position) already: there is nothing to train, and nothing is written"))
    }
    recorder.enter(.reporting)
    clock.start(after: progress.seconds, recorder: recorder)
    var stopped = false
    var evaluation: EvaluationMetrics?
    while progress.step < totalSteps && !stopped {
      let metrics = try step()
      stopped = metrics.stop && progress.step < totalSteps
      let isLast = progress.step == totalSteps
      if !metrics.isSkipped && (progress.step % options.logEvery == 0 || isLast) { try reportStep(metrics) }
      clock.pause()
      if let trace, trace.isDue(after: progress.step, stopped: stopped) {
        recorder.enter(.agreeing)
        try optimizer.awaitExchange()
        if let note = try trace.write() { try report(.notice(note)) }
      }
      let evaluates = isDue(options.evaluateEvery) || isLast
      // Whoever asked for the stop may not wait long: what was learned is saved before it is evaluated.
      progress.seconds = clock.sinceStart
      if stopped && evaluates {
        _ = try checkpoints.save(progress, accuracy: nil, statistics: try statisticsToSave())
      }
      if evaluates { evaluation = try evaluate() }
      if isDue(options.checkpointEvery) || isLast || stopped {
        try save(accuracy: evaluates ? evaluation?.accuracy : nil)
      }
      recorder.enter(.reporting)
      clock.resume()
    }
    clock.pause()
    if evaluation == nil && !stopped { evaluation = try evaluate() }
    try report(.summary(try summary(evaluation: evaluation, stopped: stopped)))
    return stopped ? StopSignal.exitCode : EXIT_SUCCESS
  }

  /// Whether something that happens every `interval` steps (nil: every epoch; 0: only at the end) is due after this
  /// step.
  private func isDue(_ interval: Int?) -> Bool {
    let interval = interval ?? sampler.batchesPerEpoch
    return interval > 0 && progress.step % interval == 0
  }

  private func evaluate() throws -> EvaluationMetrics {
    recorder.enter(.agreeing)
    let start = monotonicSeconds()
    let (result, trainingLoss) = try atEvaluationPoint { (try evaluator.run(), try trainingEvaluator?.run().loss) }
    let metrics = EvaluationMetrics(
      step: progress.step, epoch: progress.epoch(of: sampler), loss: try finite(result.loss, "the test loss at x"),
      accuracy: result.accuracy,
      trainingLoss: try trainingLoss.map { try finite($0, "the training loss at x") }, examples: data.test.count,
      evaluationMilliseconds: (monotonicSeconds() - start) * 1e3,
      seconds: clock.sinceStart)
    if progress.bestAccuracy.map({ metrics.accuracy > $0 }) ?? true {
      progress.bestAccuracy = metrics.accuracy
    }
    try report(.evaluation(metrics))
    return metrics
  }

  /// Runs `body` with x in the arena and the statistics of x in the plan, then puts back what training goes on from, to
  /// the last bit.
  private func atEvaluationPoint<R>(_ body: () throws -> R) throws -> R {
    try optimizer.writeEvaluationPoint()
    let result = try statistics.map { try $0.use(step: progress.step, body) } ?? body()
    try optimizer.restoreGradientPoint()
    return result
  }

  /// Ends a run that computes with something else than numbers. The value is the same on every rank, so all end
  /// together.
  func finite(_ value: Double, _ what: String) throws -> Double {
    guard value.isFinite else { throw TrainingError.diverged(what: what, value: value, step: progress.step) }
    return value
  }

  /// The statistics at x: of the evaluation that was just made, or computed for the checkpoint.
  private func statisticsToSave() throws -> [Float] {
    guard let statistics else { return [] }
    if statistics.areKnown(step: progress.step) { return try statistics.values(step: progress.step) }
    return try atEvaluationPoint { plan.runningStatistics }
  }

  private func save(accuracy: Double?) throws {
    recorder.enter(isRoot ? .saving : .awaitingCheckpoint)
    let start = monotonicSeconds()
    guard let saved = try checkpoints.save(progress, accuracy: accuracy, statistics: try statisticsToSave()) else {
      return
    }
    for warning in saved.warnings { try report(.notice(warning)) }
    try report(
      .checkpoint(
        step: progress.step, epoch: progress.epoch(of: sampler), path: saved.path, seconds: monotonicSeconds() - start))
  }

  // MARK: - Reports

  func report(_ event: TrainingEvent) throws {
    for listener in listeners { try listener.receive(event) }
  }
}

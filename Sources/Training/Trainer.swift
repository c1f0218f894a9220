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
/// y; then exchange gradients and update its shard. Rank zero reports events. Not thread-safe. A program that trains several times makes one after the
/// other, and closes each.
public final class Trainer {
  private let world: Communicator
  private let lanes: Lanes
  private let options: TrainingOptions
  private let data: TrainingData
  private let plan: Plan
  private let optimizer: ShardedOptimizer
  private let checkpoints: RunCheckpoints
  private let evaluator: Evaluator
  /// Evaluates training examples, where that was asked for.
  private let trainingEvaluator: Evaluator?
  private let watch: RunWatch
  private var trace: RunTrace?
  private let coresPerRank: Double
  private let assembler: BatchAssembler
  private var sampler: Sampler
  private var listeners: [any TrainingListener]
  private let settings: RunSettings
  private let groups: [TensorGroup]
  /// The group whose learning rate is logged: the one that the flags give, without any tensor's factor or delay.
  private let loggedGroup: Int
  private let totalSteps: Int
  /// Adds up the gradients of this rank's lanes.
  private let laneGradients: LaneGradients
  private let laneStatistics: LaneStatistics
  /// The loss of each of this rank's lanes in the step at hand: the sum over its examples, and behind those of all
  /// lanes the same divided by the global batch. Owned by this object; arrays that are changed in a step allocate in
  /// debug builds.
  private let laneLosses: UnsafeMutablePointer<Double>
  private var clock = StepClock()
  private var progress: RunProgress
  private let startNotices: [String]
  /// What batch normalisation uses in evaluation; nil for a network without it.
  private let statistics: EvaluationStatistics?

  /// The name of the running executable.
  public static var programName: String {
    CommandLine.arguments.first.flatMap { $0.split(separator: "/").last }.map(String.init) ?? "run"
  }

  private var isRoot: Bool { world.rank == 0 }
  /// Is told what this thread does.
  private var recorder: ThreadRecorder { watch.recorder.main }
  private var globalBatch: Int { sampler.globalBatchSize }

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

  private struct StepResult {
    var stop: Bool
    var gradientNorm: Double?
    var isSkipped: Bool
  }

  /// One optimizer step: the batches of each lane of this rank, one after the other, then the exchange.
  private func step() throws -> StepResult {
    trace?.begin(step: progress.step + 1, recorder: recorder)
    recorder.begin(step: progress.step + 1)
    let (epoch, batch) = progress.step.quotientAndRemainder(dividingBy: sampler.batchesPerEpoch)
    sampler.prepare(epoch: epoch)
    for lane in 0..<lanes.perRank {
      laneStatistics.begin(lane: lane)
      laneLosses[lane] = 0
      for part in 0..<options.accumulate {
        recorder.enter(.data)
        let first = ((lanes.first + lane) * options.accumulate + part) * options.batchSize
        assembler.fill(
          sampler.indices(batch: batch, positions: first..<(first + options.batchSize)), epoch: epoch,
          into: plan.inputAddress, labels: plan.labelAddress)
        recorder.enter(.forward)
        // What other nodes send of y may still be on its way; each layer waits for its own.
        let optimizer = optimizer
        laneLosses[lane] += try plan.forward(step: progress.step, firstExample: first) {
          try optimizer.awaitParameters(upTo: $0)
        }
        try optimizer.awaitExchange()
        recorder.enter(.backward)
        try backward(lane: lane, part: part)
      }
      laneStatistics.end(lane: lane)
    }
    // Parts of lanes are summed: with each divided by the global batch, the rule sees the mean.
    for lane in 0..<lanes.perRank { laneLosses[lanes.perRank + lane] = laneLosses[lane] / Double(globalBatch) }
    let outcome: StepOutcome
    do {
      outcome = try optimizer.finishStep(
        stopRequested: StopSignal.isRequested, laneLosses: laneLosses + lanes.perRank, awaitsParameters: false)
    } catch let error as DataParallelError where error.isNonFinite {
      throw try divergence(error, step: progress.step + 1)
    }
    progress.step += 1
    clock.count(outcome)
    if outcome.isNonFinite { throw try divergence(nil, step: progress.step) }
    if let error = outcome.skipped { try skip(error) } else { progress.skippedInARow = nil }
    return StepResult(
      stop: outcome.stop, gradientNorm: outcome.gradientNorm, isSkipped: outcome.skipped != nil)
  }

  /// Why the run ends, on every rank. Collective.
  private func divergence(_ error: DataParallelError?, step: Int) throws -> TrainingError {
    let finding = try finding(error)
    return .diverged(what: finding.what, value: finding.value, step: step)
  }

  /// What is not finite in the step at hand, on every rank. Collective.
  private func finding(_ error: DataParallelError?) throws -> NonFiniteFinding {
    let losses = try lanes.gather((0..<lanes.perRank).map { laneLosses[$0] }, on: world)
    return NonFiniteFinding(losses: losses, lanes: lanes, error: error)
  }

  /// Takes note of a step that was skipped; ends the run if there were too many.
  private func skip(_ error: DataParallelError) throws {
    laneStatistics.revert()
    let finding = try finding(error)
    let (inARow, total) = ((progress.skippedInARow ?? 0) + 1, (progress.skippedSteps ?? 0) + 1)
    (progress.skippedInARow, progress.skippedSteps) = (inARow, total)
    try report(
      .skipped(
        SkippedStep(
          step: progress.step, epoch: progress.epoch(of: sampler), reason: finding.description, inARow: inARow,
          total: total, seconds: clock.sinceStart)))
    guard inARow < options.nonfiniteLimit else {
      throw TrainingError.onlySkips(count: inARow, finding: finding.description, step: progress.step)
    }
  }

  /// Backward of one batch: announces gradients as they become final, which is during the last of the batches summed.
  private func backward(lane: Int, part: Int) throws {
    let (optimizer, laneGradients) = (optimizer, laneGradients)
    let destination = laneGradients.destination(lane: lane, batch: part)
    if !laneGradients.isDirect { try plan.bind(gradients: destination) }
    try plan.backward { offset in
      if laneGradients.add(lane: lane, batch: part, from: offset) { optimizer.announce(finishedFrom: offset) }
    }
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
  private func finite(_ value: Double, _ what: String) throws -> Double {
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

  private func report(_ event: TrainingEvent) throws {
    for listener in listeners { try listener.receive(event) }
  }

  private func reportStep(_ result: StepResult) throws {
    let times = clock.takeInterval(recorder)
    recorder.enter(.summing)
    let lossSum = try lanes.sum((0..<lanes.perRank).map { [laneLosses[$0]] }, on: world)[0]
    let shareSums = try world.sumInRankOrder(attributed(times.shares).list)
    recorder.enter(.reporting)
    let loss = try finite(lossSum / Double(globalBatch), "the loss")
    try report(
      .step(
        StepMetrics(
          step: progress.step, totalSteps: totalSteps, epoch: progress.epoch(of: sampler), loss: loss,
          learningRate: optimizer.rule(ofGroup: loggedGroup).learningRate, gradientNorm: result.gradientNorm,
          imagesPerSecond: times.stepsPerSecond * Double(globalBatch), stepMilliseconds: times.stepMilliseconds,
          exchangeMilliseconds: times.exchangeMilliseconds, waitMilliseconds: times.waitMilliseconds,
          shares: meanShares(shareSums, steps: times.steps), seconds: clock.sinceStart)))
  }

  private func summary(evaluation: EvaluationMetrics?, stopped: Bool) throws -> SummaryMetrics {
    let peakMemory = try world.allReduceMax(PeakMemory.byteCount)
    clock.takeShares(recorder)
    let times = clock.total
    let shares = try world.sumInRankOrder(attributed(times.shares).list)
    let profile = try profile(steps: times.steps)
    return SummaryMetrics(
      step: progress.step, epoch: progress.epoch(of: sampler), accuracy: evaluation?.accuracy, loss: evaluation?.loss,
      bestAccuracy: progress.bestAccuracy, imagesPerSecond: times.stepsPerSecond * Double(globalBatch),
      stepMilliseconds: times.stepMilliseconds, exchangeMilliseconds: times.exchangeMilliseconds,
      waitMilliseconds: times.waitMilliseconds, shares: meanShares(shares, steps: times.steps),
      profile: profile, peakMemoryBytes: peakMemory, skippedSteps: progress.skippedSteps ?? 0, stopped: stopped,
      seconds: clock.sinceStart,
      folder: checkpoints.folderPath)
  }

  /// The step in detail, mean over the ranks and the steps of this process. Collective.
  private func profile(steps: Int) throws -> StepProfile {
    let announced = watch.recorder.announcementSeconds
    let passes = [recorder.seconds(in: .forward), recorder.seconds(in: .backward)].map { $0 / Double(max(steps, 1)) }
    let means = try world.sumInRankOrder(passes + announced).map { $0 / Double(world.size) }
    return StepProfile(
      ranks: world.size, nodes: watch.nodeCount, examples: globalBatch, coresPerRank: coresPerRank, forward: means[0],
      backward: means[1], bucketElements: optimizer.layout.buckets.map(\.count), announced: Array(means.dropFirst(2)))
  }

  /// With a communication thread, a rank that computed less than the slowest one has waited for that one's messages for
  /// as long at least: that is not the network's time. Collective.
  private func attributed(_ shares: StepShares) throws -> StepShares {
    guard optimizer.hasCommunicationThread else { return shares }
    let busy = shares[.compute] + shares[.data]
    return shares.attributing(toSlowest: try world.allReduceMax(busy) - busy)
  }

  /// The mean over ranks and steps of seconds that were added up over both.
  private func meanShares(_ sums: some Sequence<Double>, steps: Int) -> StepShares {
    StepShares(list: sums) * (1 / Double(world.size * max(steps, 1)))
  }

  private func describe() -> RunSummary {
    let named = groups.filter { !$0.names.isEmpty }
    let ranks = "\(world.size), exchange \(optimizer.exchangeLabel)"
    let division =
      options.lanes == nil
      ? "batch \(options.batchSize) a rank" : "\(lanes.count) lanes, batch \(options.batchSize) a lane"
    var lines = [
      "data: \(data.training); \(data.test)",
      "network: \(plan.layout.parameterCount) parameters in \(plan.layout.tensors.count) tensors",
      "optimizer: " + named.map { $0.description(amongOthers: groups.count > 1) }.joined(separator: "\n      and "),
      "ranks: \(ranks); \(division), \(globalBatch) in all",
      "length: \(totalSteps) steps, \(sampler.batchesPerEpoch) a pass over the data",
      "run folder: \(checkpoints.folderPath)",
    ]
    if !data.augmentation.isNone { lines.insert("augmentation: \(data.augmentation)", at: 1) }
    if progress.step > 0 { lines.append("resumed at step \(progress.step)") }
    return RunSummary(title: "\(settings.values["program"] ?? "run")", lines: lines)
  }
}

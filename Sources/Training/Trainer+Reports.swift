import DataParallel
import MPI
import Monitoring

// What the trainer tells of a run: its start, its steps, its end.

extension Trainer {
  func reportStep(_ result: StepResult) throws {
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

  func summary(evaluation: EvaluationMetrics?, stopped: Bool) throws -> SummaryMetrics {
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

  func describe() -> RunSummary {
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

import DataParallel
import MPI
import Monitoring
import Neural

// One optimizer step of the trainer, and what becomes of steps that are not finite.

extension Trainer {
  struct StepResult {
    var stop: Bool
    var gradientNorm: Double?
    var isSkipped: Bool
  }

  /// One optimizer step: the batches of each lane of this rank, one after the other, then the exchange.
  func step() throws -> StepResult {
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
}

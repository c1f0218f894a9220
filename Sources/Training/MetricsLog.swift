import Checkpoints
import Monitoring

/// Writes events to `metrics.jsonl`. Keys are stable: programs that read them may rely on names and units.
final class MetricsLog: TrainingListener {
  private let writer: MetricsWriter

  init(_ writer: MetricsWriter) { self.writer = writer }

  func receive(_ event: TrainingEvent) throws {
    switch event {
    case .start, .notice: break
    case .step(let m):
      var fields: [(key: String, value: MetricValue)] = [
        ("event", "step"), ("step", .integer(m.step)), ("epoch", .number(m.epoch)), ("loss", .number(m.loss)),
        ("learning_rate", .number(m.learningRate)),
      ]
      if let norm = m.gradientNorm { fields.append(("gradient_norm", .number(norm))) }
      fields += [
        ("images_per_second", .number(m.imagesPerSecond)), ("step_milliseconds", .number(m.stepMilliseconds)),
        ("exchange_milliseconds", .number(m.exchangeMilliseconds)), ("wait_milliseconds", .number(m.waitMilliseconds)),
      ]
      fields += Self.fields(of: m.shares)
      fields.append(("seconds", .number(m.seconds)))
      try writer.append(ordered: fields)
    case .evaluation(let m):
      var fields: [(key: String, value: MetricValue)] = [
        ("event", "evaluation"), ("step", .integer(m.step)), ("epoch", .number(m.epoch)), ("loss", .number(m.loss)),
        ("accuracy", .number(m.accuracy)),
      ]
      if let loss = m.trainingLoss { fields.append(("training_loss", .number(loss))) }
      fields += [
        ("examples", .integer(m.examples)), ("evaluation_milliseconds", .number(m.evaluationMilliseconds)),
        ("seconds", .number(m.seconds)),
      ]
      try writer.append(ordered: fields)
    case .checkpoint(let step, let epoch, let path, let seconds):
      try writer.append([
        "event": "checkpoint", "step": .integer(step), "epoch": .number(epoch), "path": .text(path),
        "save_milliseconds": .number(seconds * 1e3),
      ])
    case .skipped(let m):
      try writer.append(ordered: [
        ("event", "skipped"), ("step", .integer(m.step)), ("epoch", .number(m.epoch)), ("reason", .text(m.reason)),
        ("skipped_in_a_row", .integer(m.inARow)), ("skipped_steps", .integer(m.total)), ("seconds", .number(m.seconds)),
      ])
    case .summary(let m):
      var fields: [(key: String, value: MetricValue)] = [
        ("event", "summary"), ("step", .integer(m.step)), ("epoch", .number(m.epoch)), ("loss", optional(m.loss)),
        ("accuracy", optional(m.accuracy)), ("best_accuracy", optional(m.bestAccuracy)),
        ("images_per_second", .number(m.imagesPerSecond)), ("step_milliseconds", .number(m.stepMilliseconds)),
        ("exchange_milliseconds", .number(m.exchangeMilliseconds)), ("wait_milliseconds", .number(m.waitMilliseconds)),
      ]
      fields += Self.fields(of: m.shares)
      let profile = m.profile
      fields += [
        ("forward_milliseconds", .number(profile.forward * 1e3)),
        ("backward_milliseconds", .number(profile.backward * 1e3)), ("ranks", .integer(profile.ranks)),
        ("nodes", .integer(profile.nodes)), ("examples_per_step", .integer(profile.examples)),
        ("cores_per_rank", .number(profile.coresPerRank)),
        ("bucket_elements", .numbers(profile.bucketElements.map(Double.init))),
        ("bucket_announced_milliseconds", .numbers(profile.announced.map { $0 * 1e3 })),
        ("peak_memory_bytes", .integer(m.peakMemoryBytes)), ("skipped_steps", .integer(m.skippedSteps)),
        ("stopped", .flag(m.stopped)),
        ("seconds", .number(m.seconds)),
      ]
      try writer.append(ordered: fields)
    }
  }

  /// Milliseconds of each part of a step, which add up to the whole: mean over the ranks, other than the exchange and
  /// wait milliseconds above, which are of rank zero.
  private static func fields(of shares: StepShares) -> [(key: String, value: MetricValue)] {
    [
      ("compute_milliseconds", .compute), ("data_milliseconds", .data), ("update_milliseconds", .update),
      ("communication_milliseconds", .communication), ("slowest_rank_milliseconds", .waiting),
      ("other_milliseconds", Phase.Share.other),
    ].map { ($0, .number(shares[$1] * 1e3)) }
  }

  private func optional(_ value: Double?) -> MetricValue { value.map { .number($0) } ?? .null }
}

/// Something that happened in a run, as listeners see it. Only rank zero reports events.
public enum TrainingEvent: Sendable {
  /// The run begins or continues.
  case start(RunSummary)
  /// A step whose metrics are due.
  case step(StepMetrics)
  /// An evaluation at x.
  case evaluation(EvaluationMetrics)
  /// A checkpoint was saved.
  case checkpoint(step: Int, epoch: Double, path: String, seconds: Double)
  /// A step was left out, because something in it was not a finite number.
  case skipped(SkippedStep)
  /// The run ended, or stopped on request.
  case summary(SummaryMetrics)
  /// Something a person should know.
  case notice(String)
}

/// What a run is about to do.
public struct RunSummary: Sendable {
  /// The program, model and optimizer in a few words.
  public var title: String
  /// Facts, one a line.
  public var lines: [String]
}

/// Metrics of a training step, with times averaged over the steps since the last report.
public struct StepMetrics: Sendable {
  /// Steps done.
  public var step: Int
  /// Steps that the run is to take.
  public var totalSteps: Int
  /// Passes over the training data done, with fraction.
  public var epoch: Double
  /// Mean loss at y over the global batch of this step.
  public var loss: Double
  /// γ of this step.
  public var learningRate: Double
  /// Norm of the gradient before clipping, where it was computed.
  public var gradientNorm: Double?
  /// Examples a second, over all ranks.
  public var imagesPerSecond: Double
  /// Wall-clock time of a step.
  public var stepMilliseconds: Double
  /// Time of rank zero in exchange and update, waiting included.
  public var exchangeMilliseconds: Double
  /// The part of it in which rank zero waited for slower ranks.
  public var waitMilliseconds: Double
  /// Where the seconds of a step went, mean over the ranks.
  public var shares: StepShares
  /// Seconds since this process started the run.
  public var seconds: Double
}

/// The result of an evaluation on the test set.
public struct EvaluationMetrics: Sendable {
  /// Steps done.
  public var step: Int
  /// Passes over the training data done.
  public var epoch: Double
  /// Mean loss at x.
  public var loss: Double
  /// Part of the test set classified correctly at x, 0 to 1.
  public var accuracy: Double
  /// Mean loss at x over training examples, where the trainer was asked for it.
  public var trainingLoss: Double?
  /// Examples evaluated: the size of the test set.
  public var examples: Int
  /// Time of the evaluation.
  public var evaluationMilliseconds: Double
  /// Seconds since this process started the run.
  public var seconds: Double
}

/// The end of a run.
public struct SummaryMetrics: Sendable {
  /// Steps done.
  public var step: Int
  /// Passes over the training data done.
  public var epoch: Double
  /// Final accuracy at x, if it was evaluated.
  public var accuracy: Double?
  /// Final test loss at x.
  public var loss: Double?
  /// The best accuracy of the run.
  public var bestAccuracy: Double?
  /// Examples a second over all training steps of this process; evaluations and checkpoints are not counted.
  public var imagesPerSecond: Double
  /// Mean time of a step of this process.
  public var stepMilliseconds: Double
  /// Mean time of rank zero in exchange and update, waiting included.
  public var exchangeMilliseconds: Double
  /// The part of it spent waiting for slower ranks.
  public var waitMilliseconds: Double
  /// Where the seconds of a step went, mean over the ranks and over all steps of this process.
  public var shares: StepShares
  /// The step in detail.
  public var profile: StepProfile
  /// The most memory that a rank had resident at a time, in bytes; 0 where the system does not say.
  public var peakMemoryBytes: Int
  /// Steps skipped since the start of the run, see ``OnNonFinite/skip``.
  public var skippedSteps: Int
  /// True if the run stopped on request before its end.
  public var stopped: Bool
  /// Seconds since this process started the run.
  public var seconds: Double
  /// The run folder.
  public var folder: String
}

/// Receives events: progress on the terminal, metrics in a file, or whatever a program adds.
public protocol TrainingListener: AnyObject {
  /// Called on rank zero, in order. An error ends the run.
  func receive(_ event: TrainingEvent) throws
}

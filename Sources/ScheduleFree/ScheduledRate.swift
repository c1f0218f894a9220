/// The learning rate of the methods that need a schedule: warmup, then the schedule's decay.
struct ScheduledRate: Sendable {
  let fullLearningRate: Double
  let warmupSteps: Int
  let schedule: LearningRateSchedule

  /// Steps begun.
  private(set) var step = 0

  /// Checks the three hyperparameters.
  ///
  /// - Throws: ``HyperparameterError``.
  init(learningRate: Double, warmupSteps: Int, schedule: LearningRateSchedule) throws {
    try HyperparameterCheck.nonNegative(.learningRate, learningRate)
    try HyperparameterCheck.steps(.warmupSteps, warmupSteps)
    try schedule.check(warmupSteps: warmupSteps)
    fullLearningRate = learningRate
    self.warmupSteps = warmupSteps
    self.schedule = schedule
  }

  /// γ of the step begun last, or of the first.
  var learningRate: Double { fullLearningRate * schedule.factor(step: max(step - 1, 0), warmupSteps: warmupSteps) }

  /// Goes on to the next step.
  mutating func advance() { step += 1 }

  func counters(rule: String) -> RuleCounters { RuleCounters(rule: rule, step: step) }

  mutating func restore(_ counters: RuleCounters, rule: String) throws {
    try counters.check(rule: rule, keys: [])
    step = counters.step
  }

  var settings: [HyperparameterSetting] {
    [HyperparameterSetting(.warmupSteps, warmupSteps), HyperparameterSetting(.schedule, schedule.shape.rawValue)]
  }
}

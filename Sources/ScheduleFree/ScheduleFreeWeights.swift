/// The scalars that all schedule-free methods share: the learning rate γ with its warmup, and the weight c with which x
/// follows z (arXiv 2405.15682; names as in the `schedulefree` package).
///
/// ```
/// γ_k = learningRate · min(1, (k+1)/warmupSteps)
/// w_k = (k+1)^averagingPower · (max γ so far)^weightLRPower
/// c   = w_k / Σw                                     0 where Σw is 0
/// ```
struct ScheduleFreeWeights: Sendable {
  let fullLearningRate: Double
  let warmupSteps: Int
  let averagingPower: Double
  let weightLRPower: Double

  /// Steps begun.
  private(set) var step = 0
  private(set) var learningRateMax = 0.0
  private(set) var weightSum = 0.0
  /// c of the step begun last.
  private(set) var averagingWeight = 0.0

  /// Checks the four hyperparameters.
  ///
  /// - Throws: ``HyperparameterError``.
  init(learningRate: Double, warmupSteps: Int, averagingPower: Double, weightLRPower: Double) throws {
    try HyperparameterCheck.nonNegative(.learningRate, learningRate)
    try HyperparameterCheck.steps(.warmupSteps, warmupSteps)
    try HyperparameterCheck.exponent(.averagingPower, averagingPower)
    try HyperparameterCheck.exponent(.weightLRPower, weightLRPower)
    // A weight that vanished in rounding would keep x from ever following z, without a word. A learning rate of 0 may.
    let weight = power(learningRate, weightLRPower)
    guard learningRate == 0 || (weight.isNormal && weight < 1e150) else {
      throw HyperparameterCheck.outOfRange(
        .weightLRPower, weightLRPower,
        "an exponent for which learning-rate^weight-lr-power is a number of double precision; "
          + "\(learningRate)^\(weightLRPower) is \(weight)")
    }
    fullLearningRate = learningRate
    self.warmupSteps = warmupSteps
    self.averagingPower = averagingPower
    self.weightLRPower = weightLRPower
  }

  /// γ of the step begun last, or of the first.
  var learningRate: Double {
    fullLearningRate * LearningRateSchedule.constant.factor(step: max(step - 1, 0), warmupSteps: warmupSteps)
  }

  /// Goes on to the next step.
  mutating func advance() {
    step += 1
    learningRateMax = max(learningRateMax, learningRate)
    let weight = power(Double(step), averagingPower) * power(learningRateMax, weightLRPower)
    weightSum += weight
    averagingWeight = weightSum > 0 ? weight / weightSum : 0
  }

  func counters(rule: String) -> RuleCounters {
    RuleCounters(rule: rule, step: step, scalars: ["lr_max": learningRateMax, "weight_sum": weightSum])
  }

  mutating func restore(_ counters: RuleCounters, rule: String) throws {
    try counters.check(rule: rule, keys: ["lr_max", "weight_sum"])
    step = counters.step
    learningRateMax = counters.scalars["lr_max", default: 0]
    weightSum = counters.scalars["weight_sum", default: 0]
    averagingWeight = 0
  }

  var settings: [HyperparameterSetting] {
    [
      HyperparameterSetting(.warmupSteps, warmupSteps), HyperparameterSetting(.averagingPower, averagingPower),
      HyperparameterSetting(.weightLRPower, weightLRPower),
    ]
  }
}

import CKernels

/// AdamW with a learning-rate schedule (arXiv 1711.05101), as `torch.optim.AdamW` computes it: what Schedule-Free AdamW
/// is compared with.
///
/// ```
/// m ← β₁ m + (1-β₁) g        v ← β₂ v + (1-β₂) g²
/// p ← p - γ (m/(1-β₁^(k+1)) / (√(v/(1-β₂^(k+1))) + ε) + λ p)
/// ```
public struct AdamW: UpdateRule {
  /// The settings of the method; defaults are PyTorch's.
  public struct Hyperparameters: Sendable, Hashable {
    /// γ before the schedule, at least 0.
    public var learningRate: Double
    /// β₁ in [0, 1): decay of the first moment.
    public var beta1: Double
    /// β₂ in [0, 1): decay of the second moment.
    public var beta2: Double
    /// ε, above 0.
    public var epsilon: Double
    /// λ, at least 0: decoupled weight decay.
    public var weightDecay: Double
    /// Steps of linear warmup, at least 0.
    public var warmupSteps: Int
    /// How the learning rate falls after warmup.
    public var schedule: LearningRateSchedule

    /// Collects settings; they are checked by ``AdamW/init(_:)``.
    public init(
      learningRate: Double = 0.001, beta1: Double = 0.9, beta2: Double = 0.999, epsilon: Double = 1e-8,
      weightDecay: Double = 0.01, warmupSteps: Int = 0, schedule: LearningRateSchedule = .constant
    ) {
      self.learningRate = learningRate
      self.beta1 = beta1
      self.beta2 = beta2
      self.epsilon = epsilon
      self.weightDecay = weightDecay
      self.warmupSteps = warmupSteps
      self.schedule = schedule
    }
  }

  /// The scalars of one step, in the precision of the parameters.
  private struct Step<Scalar: BinaryFloatingPoint> {
    let learningRate, beta1, oneMinusBeta1, beta2, oneMinusBeta2: Scalar
    let inverseBiasCorrection1, inverseBiasCorrection2, epsilon, weightDecay: Scalar

    init(_ rule: AdamW) {
      learningRate = Scalar(rule.currentLearningRate)
      beta1 = Scalar(rule.settings.beta1)
      oneMinusBeta1 = Scalar(1 - rule.settings.beta1)
      beta2 = Scalar(rule.settings.beta2)
      oneMinusBeta2 = Scalar(1 - rule.settings.beta2)
      inverseBiasCorrection1 = Scalar(rule.inverseBiasCorrection1)
      inverseBiasCorrection2 = Scalar(rule.inverseBiasCorrection2)
      epsilon = Scalar(rule.settings.epsilon)
      weightDecay = Scalar(rule.settings.weightDecay)
    }
  }

  private let settings: Hyperparameters
  private var rate: ScheduledRate
  private var currentLearningRate = 0.0
  private var inverseBiasCorrection1 = 1.0
  private var inverseBiasCorrection2 = 1.0

  /// A rule before its first step.
  ///
  /// - Throws: ``HyperparameterError`` for a value out of range.
  public init(_ hyperparameters: Hyperparameters = Hyperparameters()) throws {
    try HyperparameterCheck.decayRate(.beta1, hyperparameters.beta1)
    try HyperparameterCheck.decayRate(.beta2, hyperparameters.beta2)
    try HyperparameterCheck.epsilon(hyperparameters.epsilon)
    try HyperparameterCheck.nonNegative(.weightDecay, hyperparameters.weightDecay)
    settings = hyperparameters
    rate = try ScheduledRate(
      learningRate: hyperparameters.learningRate, warmupSteps: hyperparameters.warmupSteps,
      schedule: hyperparameters.schedule)
  }

  /// `adamw`
  public var name: String { Self.method.name }

  /// The parameters and both moments.
  public var stateSlots: [StateSlot] { Self.slots }

  /// The slot of the parameters.
  public var evaluationSlot: Int { 0 }

  /// The settings in force.
  public var hyperparameters: [HyperparameterSetting] {
    [
      HyperparameterSetting(.learningRate, settings.learningRate), HyperparameterSetting(.beta1, settings.beta1),
      HyperparameterSetting(.beta2, settings.beta2), HyperparameterSetting(.epsilon, settings.epsilon),
      HyperparameterSetting(.weightDecay, settings.weightDecay),
    ] + rate.settings
  }

  /// The step.
  public var counters: RuleCounters { rate.counters(rule: name) }

  /// Continues from saved counters.
  ///
  /// - Throws: ``RuleCountersError``.
  public mutating func restore(_ counters: RuleCounters) throws { try rate.restore(counters, rule: name) }

  /// γ of the step begun last; before the first, γ of the first.
  public var learningRate: Double { rate.learningRate }

  /// Begins the next step.
  public mutating func beginStep() {
    rate.advance()
    currentLearningRate = rate.learningRate
    inverseBiasCorrection1 = 1 / (1 - power(settings.beta1, rate.step))
    inverseBiasCorrection2 = 1 / (1 - power(settings.beta2, rate.step))
  }

  /// The element-wise pass of the step begun last, in single precision.
  public func update(_ range: ElementRange<Float>) {
    let step = Step<Float>(self)
    fw_adamw(
      range.gradients, range.gradientCount,
      fw_adamw_step(
        gradient_scale: range.gradientScale, learning_rate: step.learningRate, beta1: step.beta1,
        one_minus_beta1: step.oneMinusBeta1, beta2: step.beta2, one_minus_beta2: step.oneMinusBeta2,
        inverse_bias_correction1: step.inverseBiasCorrection1, inverse_bias_correction2: step.inverseBiasCorrection2,
        epsilon: step.epsilon, weight_decay: step.weightDecay),
      range.y, range.state[0], range.state[1], range.state[2], range.count)
  }

  /// Copies the parameters to y, in single precision.
  public func writeGradientPoint(
    state: UnsafePointer<UnsafeMutablePointer<Float>>, y: UnsafeMutablePointer<Float>, count: Int
  ) {
    y.update(from: state[0], count: count)
  }

  private static let slots = [
    StateSlot(name: "parameters", initial: .parameters), StateSlot(name: "exp_avg", initial: .zeros),
    StateSlot(name: "exp_avg_sq", initial: .zeros),
  ]
}

extension AdamW: PlainRule {
  func plainUpdate<Scalar: BinaryFloatingPoint>(_ range: ElementRange<Scalar>) {
    let step = Step<Scalar>(self)
    let (p, m, v) = (range.state[0], range.state[1], range.state[2])
    for i in 0..<range.count {
      let g = range.gradient(at: i)
      m[i] = step.beta1 * m[i] + step.oneMinusBeta1 * g
      v[i] = step.beta2 * v[i] + step.oneMinusBeta2 * (g * g)
      let denominator = (v[i] * step.inverseBiasCorrection2).squareRoot() + step.epsilon
      let u = (m[i] * step.inverseBiasCorrection1) / denominator + step.weightDecay * p[i]
      p[i] = p[i] - step.learningRate * u
      range.y[i] = p[i]
    }
  }

  func plainGradientPoint<Scalar: BinaryFloatingPoint>(
    state: UnsafePointer<UnsafeMutablePointer<Scalar>>, y: UnsafeMutablePointer<Scalar>, count: Int
  ) {
    y.update(from: state[0], count: count)
  }
}

extension AdamW {
  /// The registry's entry.
  static let method = OptimizerMethod(
    name: "adamw", summary: "AdamW with a learning-rate schedule, for comparison (arXiv 1711.05101)"
  ) { options in
    let defaults = Hyperparameters()
    return try AdamW(
      Hyperparameters(
        learningRate: options.learningRate ?? defaults.learningRate, beta1: options.beta1 ?? defaults.beta1,
        beta2: options.beta2 ?? defaults.beta2, epsilon: options.epsilon ?? defaults.epsilon,
        weightDecay: options.weightDecay ?? defaults.weightDecay,
        warmupSteps: options.warmupSteps ?? defaults.warmupSteps,
        schedule: LearningRateSchedule(options.schedule ?? .constant, totalSteps: options.totalSteps)))
  }
}

import CKernels

/// Schedule-Free AdamW (arXiv 2405.15682, algorithm 1), as `AdamWScheduleFree` of the `schedulefree` package has it.
///
/// With β = `beta1`, k counted from 0, and γ, c from the warmup and averaging weights:
///
/// ```
/// y = (1-β) z + β x                              the gradient g is taken here
/// v ← β₂ v + (1-β₂) g²
/// z ← z - γ (g / (√(v/(1-β₂^(k+1))) + ε) + λ y)
/// x ← (1-c) x + c z
/// ```
///
/// The package keeps y and z and recovers x. This rule keeps z and x and derives y, so β₁ = 0 is allowed.
public struct AdamWScheduleFree: UpdateRule {
  /// The settings of the method; defaults are those of the `schedulefree` package.
  public struct Hyperparameters: Sendable, Hashable {
    /// γ after warmup, at least 0.
    public var learningRate: Double
    /// β₁ in [0, 1): how near y is to x.
    public var beta1: Double
    /// β₂ in [0, 1): decay of the second moment.
    public var beta2: Double
    /// ε, above 0.
    public var epsilon: Double
    /// λ, at least 0: decoupled weight decay, taken at y.
    public var weightDecay: Double
    /// Steps of linear warmup, at least 0.
    public var warmupSteps: Int
    /// r, at least 0: averaging weights grow as (k+1)^r.
    public var averagingPower: Double
    /// At least 0: averaging weights grow as this power of the largest learning rate so far.
    public var weightLRPower: Double

    /// Collects settings; they are checked by ``AdamWScheduleFree/init(_:)``.
    public init(
      learningRate: Double = 0.0025, beta1: Double = 0.9, beta2: Double = 0.999, epsilon: Double = 1e-8,
      weightDecay: Double = 0, warmupSteps: Int = 0, averagingPower: Double = 0, weightLRPower: Double = 2
    ) {
      self.learningRate = learningRate
      self.beta1 = beta1
      self.beta2 = beta2
      self.epsilon = epsilon
      self.weightDecay = weightDecay
      self.warmupSteps = warmupSteps
      self.averagingPower = averagingPower
      self.weightLRPower = weightLRPower
    }
  }

  /// The scalars of one step, in the precision of the parameters.
  private struct Step<Scalar: BinaryFloatingPoint> {
    let learningRate, averagingWeight, beta1, beta2, oneMinusBeta2, inverseBiasCorrection2, epsilon, weightDecay: Scalar

    init(_ rule: AdamWScheduleFree) {
      learningRate = Scalar(rule.weights.learningRate)
      averagingWeight = Scalar(rule.weights.averagingWeight)
      beta1 = Scalar(rule.settings.beta1)
      beta2 = Scalar(rule.settings.beta2)
      oneMinusBeta2 = Scalar(1 - rule.settings.beta2)
      inverseBiasCorrection2 = Scalar(rule.inverseBiasCorrection2)
      epsilon = Scalar(rule.settings.epsilon)
      weightDecay = Scalar(rule.settings.weightDecay)
    }
  }

  private let settings: Hyperparameters
  private var weights: ScheduleFreeWeights
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
    weights = try ScheduleFreeWeights(
      learningRate: hyperparameters.learningRate, warmupSteps: hyperparameters.warmupSteps,
      averagingPower: hyperparameters.averagingPower, weightLRPower: hyperparameters.weightLRPower)
  }

  /// `adamw-schedulefree`
  public var name: String { Self.method.name }

  /// z, x and the second moment.
  public var stateSlots: [StateSlot] { Self.slots }

  /// The slot of x.
  public var evaluationSlot: Int { 1 }

  /// The settings in force.
  public var hyperparameters: [HyperparameterSetting] {
    [
      HyperparameterSetting(.learningRate, settings.learningRate), HyperparameterSetting(.beta1, settings.beta1),
      HyperparameterSetting(.beta2, settings.beta2), HyperparameterSetting(.epsilon, settings.epsilon),
      HyperparameterSetting(.weightDecay, settings.weightDecay),
    ] + weights.settings
  }

  /// The step, the largest learning rate and the sum of the averaging weights.
  public var counters: RuleCounters { weights.counters(rule: name) }

  /// Continues from saved counters.
  ///
  /// - Throws: ``RuleCountersError``.
  public mutating func restore(_ counters: RuleCounters) throws { try weights.restore(counters, rule: name) }

  /// γ of the step begun last; before the first, γ of the first.
  public var learningRate: Double { weights.learningRate }

  /// Begins the next step.
  public mutating func beginStep() {
    weights.advance()
    inverseBiasCorrection2 = 1 / (1 - power(settings.beta2, weights.step))
  }

  /// The element-wise pass of the step begun last, in single precision.
  public func update(_ range: ElementRange<Float>) {
    let step = Step<Float>(self)
    fw_adamw_schedulefree(
      range.gradients, range.gradientCount,
      fw_adamw_schedulefree_step(
        gradient_scale: range.gradientScale, learning_rate: step.learningRate, averaging_weight: step.averagingWeight,
        beta1: step.beta1, beta2: step.beta2, one_minus_beta2: step.oneMinusBeta2,
        inverse_bias_correction2: step.inverseBiasCorrection2, epsilon: step.epsilon, weight_decay: step.weightDecay),
      range.y, range.state[0], range.state[1], range.state[2], range.count)
  }

  /// Writes y from z and x, in single precision.
  public func writeGradientPoint(
    state: UnsafePointer<UnsafeMutablePointer<Float>>, y: UnsafeMutablePointer<Float>, count: Int
  ) {
    fw_schedulefree_gradient_point(state[0], state[1], Float(settings.beta1), y, count)
  }

  private static let slots = [
    StateSlot(name: "z", initial: .parameters), StateSlot(name: "x", initial: .parameters),
    StateSlot(name: "exp_avg_sq", initial: .zeros),
  ]
}

extension AdamWScheduleFree: PlainRule {
  func plainUpdate<Scalar: BinaryFloatingPoint>(_ range: ElementRange<Scalar>) {
    let step = Step<Scalar>(self)
    let (z, x, v) = (range.state[0], range.state[1], range.state[2])
    for i in 0..<range.count {
      let g = range.gradient(at: i)
      let y = lerp(z[i], x[i], step.beta1)
      v[i] = step.beta2 * v[i] + step.oneMinusBeta2 * (g * g)
      let u = g / ((v[i] * step.inverseBiasCorrection2).squareRoot() + step.epsilon) + step.weightDecay * y
      z[i] = z[i] - step.learningRate * u
      x[i] = lerp(x[i], z[i], step.averagingWeight)
      range.y[i] = lerp(z[i], x[i], step.beta1)
    }
  }

  func plainGradientPoint<Scalar: BinaryFloatingPoint>(
    state: UnsafePointer<UnsafeMutablePointer<Scalar>>, y: UnsafeMutablePointer<Scalar>, count: Int
  ) {
    for i in 0..<count { y[i] = lerp(state[0][i], state[1][i], Scalar(settings.beta1)) }
  }
}

extension AdamWScheduleFree {
  /// The registry's entry.
  static let method = OptimizerMethod(
    name: "adamw-schedulefree", summary: "Schedule-Free AdamW: no schedule; x averages the iterates (arXiv 2405.15682)"
  ) { options in
    let defaults = Hyperparameters()
    return try AdamWScheduleFree(
      Hyperparameters(
        learningRate: options.learningRate ?? defaults.learningRate, beta1: options.beta1 ?? defaults.beta1,
        beta2: options.beta2 ?? defaults.beta2, epsilon: options.epsilon ?? defaults.epsilon,
        weightDecay: options.weightDecay ?? defaults.weightDecay,
        warmupSteps: options.warmupSteps ?? defaults.warmupSteps,
        averagingPower: options.averagingPower ?? defaults.averagingPower,
        weightLRPower: options.weightLRPower ?? defaults.weightLRPower))
  }
}

import CKernels

/// Schedule-Free SGD (arXiv 2405.15682), as `SGDScheduleFree` of the `schedulefree` package
/// computes it.
///
/// With β = `momentum`, and γ, c from the warmup and averaging weights:
///
/// ```
/// y = (1-β) z + β x              the gradient g is taken here
/// z ← z - γ (g + λ y)
/// x ← (1-c) x + c z
/// ```
///
/// The package keeps y and z and recovers x. This rule keeps z and x and derives y, so β = 0 is allowed.
public struct SGDScheduleFree: UpdateRule {
  /// The settings of the method; defaults are those of the `schedulefree` package.
  public struct Hyperparameters: Sendable, Hashable {
    /// γ after warmup, at least 0.
    public var learningRate: Double
    /// β in [0, 1): how near y is to x.
    public var momentum: Double
    /// λ, at least 0: weight decay, taken at y.
    public var weightDecay: Double
    /// Steps of linear warmup, at least 0.
    public var warmupSteps: Int
    /// r, at least 0: averaging weights grow as (k+1)^r.
    public var averagingPower: Double
    /// At least 0: averaging weights grow as this power of the largest learning rate so far.
    public var weightLRPower: Double

    /// Collects settings; they are checked by ``SGDScheduleFree/init(_:)``.
    public init(
      learningRate: Double = 1, momentum: Double = 0.9, weightDecay: Double = 0, warmupSteps: Int = 0,
      averagingPower: Double = 0, weightLRPower: Double = 2
    ) {
      self.learningRate = learningRate
      self.momentum = momentum
      self.weightDecay = weightDecay
      self.warmupSteps = warmupSteps
      self.averagingPower = averagingPower
      self.weightLRPower = weightLRPower
    }
  }

  private let settings: Hyperparameters
  private var weights: ScheduleFreeWeights

  /// A rule before its first step.
  ///
  /// - Throws: ``HyperparameterError`` for a value out of range.
  public init(_ hyperparameters: Hyperparameters = Hyperparameters()) throws {
    try HyperparameterCheck.decayRate(.momentum, hyperparameters.momentum)
    try HyperparameterCheck.nonNegative(.weightDecay, hyperparameters.weightDecay)
    settings = hyperparameters
    weights = try ScheduleFreeWeights(
      learningRate: hyperparameters.learningRate, warmupSteps: hyperparameters.warmupSteps,
      averagingPower: hyperparameters.averagingPower, weightLRPower: hyperparameters.weightLRPower)
  }

  /// `sgd-schedulefree`
  public var name: String { Self.method.name }

  /// z and x.
  public var stateSlots: [StateSlot] { Self.slots }

  /// The slot of x.
  public var evaluationSlot: Int { 1 }

  /// The settings in force.
  public var hyperparameters: [HyperparameterSetting] {
    [
      HyperparameterSetting(.learningRate, settings.learningRate), HyperparameterSetting(.momentum, settings.momentum),
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
  public mutating func beginStep() { weights.advance() }

  /// The element-wise pass of the step begun last, in single precision.
  public func update(_ range: ElementRange<Float>) {
    fw_sgd_schedulefree(
      range.gradients, range.gradientCount,
      fw_sgd_schedulefree_step(
        gradient_scale: range.gradientScale, learning_rate: Float(weights.learningRate),
        averaging_weight: Float(weights.averagingWeight), momentum: Float(settings.momentum),
        weight_decay: Float(settings.weightDecay)),
      range.y, range.state[0], range.state[1], range.count)
  }

  /// Writes y from z and x, in single precision.
  public func writeGradientPoint(
    state: UnsafePointer<UnsafeMutablePointer<Float>>, y: UnsafeMutablePointer<Float>, count: Int
  ) {
    fw_schedulefree_gradient_point(state[0], state[1], Float(settings.momentum), y, count)
  }

  private static let slots = [
    StateSlot(name: "z", initial: .parameters), StateSlot(name: "x", initial: .parameters),
  ]
}

extension SGDScheduleFree: PlainRule {
  func plainUpdate<Scalar: BinaryFloatingPoint>(_ range: ElementRange<Scalar>) {
    let (learningRate, c) = (Scalar(weights.learningRate), Scalar(weights.averagingWeight))
    let (beta, decay) = (Scalar(settings.momentum), Scalar(settings.weightDecay))
    let (z, x) = (range.state[0], range.state[1])
    for i in 0..<range.count {
      let u = range.gradient(at: i) + decay * lerp(z[i], x[i], beta)
      z[i] = z[i] - learningRate * u
      x[i] = lerp(x[i], z[i], c)
      range.y[i] = lerp(z[i], x[i], beta)
    }
  }

  func plainGradientPoint<Scalar: BinaryFloatingPoint>(
    state: UnsafePointer<UnsafeMutablePointer<Scalar>>, y: UnsafeMutablePointer<Scalar>, count: Int
  ) {
    for i in 0..<count { y[i] = lerp(state[0][i], state[1][i], Scalar(settings.momentum)) }
  }
}

extension SGDScheduleFree {
  /// The registry's entry.
  static let method = OptimizerMethod(
    name: "sgd-schedulefree", summary: "Schedule-Free SGD: no schedule; x averages the iterates (arXiv 2405.15682)"
  ) { options in
    let defaults = Hyperparameters()
    return try SGDScheduleFree(
      Hyperparameters(
        learningRate: options.learningRate ?? defaults.learningRate, momentum: options.momentum ?? defaults.momentum,
        weightDecay: options.weightDecay ?? defaults.weightDecay,
        warmupSteps: options.warmupSteps ?? defaults.warmupSteps,
        averagingPower: options.averagingPower ?? defaults.averagingPower,
        weightLRPower: options.weightLRPower ?? defaults.weightLRPower))
  }
}

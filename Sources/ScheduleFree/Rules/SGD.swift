import CKernels

/// SGD with momentum and a learning-rate schedule, as `torch.optim.SGD` computes it (without dampening): what
/// Schedule-Free SGD is compared with.
///
/// ```
/// g ← g + λ p                m ← μ m + g
/// p ← p - γ m                with Nesterov's momentum: p ← p - γ (g + μ m)
/// ```
public struct SGD: UpdateRule {
  /// The settings of the method. Defaults are PyTorch's, except the momentum: PyTorch has none unless asked, and plain
  /// SGD is no yardstick.
  public struct Hyperparameters: Sendable, Hashable {
    /// γ before the schedule, at least 0.
    public var learningRate: Double
    /// μ in [0, 1).
    public var momentum: Double
    /// Whether momentum is Nesterov's; it then has to be above 0.
    public var nesterov: Bool
    /// λ, at least 0, added to the gradient (L2).
    public var weightDecay: Double
    /// Steps of linear warmup, at least 0.
    public var warmupSteps: Int
    /// How the learning rate falls after warmup.
    public var schedule: LearningRateSchedule

    /// Collects settings; they are checked by ``SGD/init(_:)``.
    public init(
      learningRate: Double = 0.001, momentum: Double = 0.9, nesterov: Bool = false, weightDecay: Double = 0,
      warmupSteps: Int = 0, schedule: LearningRateSchedule = .constant
    ) {
      self.learningRate = learningRate
      self.momentum = momentum
      self.nesterov = nesterov
      self.weightDecay = weightDecay
      self.warmupSteps = warmupSteps
      self.schedule = schedule
    }
  }

  private let settings: Hyperparameters
  private var rate: ScheduledRate
  private var currentLearningRate = 0.0

  /// A rule before its first step.
  ///
  /// - Throws: ``HyperparameterError`` for a value out of range.
  public init(_ hyperparameters: Hyperparameters = Hyperparameters()) throws {
    try HyperparameterCheck.decayRate(.momentum, hyperparameters.momentum)
    if hyperparameters.nesterov && hyperparameters.momentum == 0 {
      throw HyperparameterCheck.outOfRange(.momentum, 0, "a value in (0, 1) with Nesterov's momentum")
    }
    try HyperparameterCheck.nonNegative(.weightDecay, hyperparameters.weightDecay)
    settings = hyperparameters
    rate = try ScheduledRate(
      learningRate: hyperparameters.learningRate, warmupSteps: hyperparameters.warmupSteps,
      schedule: hyperparameters.schedule)
  }

  /// `sgd`
  public var name: String { Self.method.name }

  /// The parameters and the momentum buffer.
  public var stateSlots: [StateSlot] { Self.slots }

  /// The slot of the parameters.
  public var evaluationSlot: Int { 0 }

  /// The settings in force.
  public var hyperparameters: [HyperparameterSetting] {
    [
      HyperparameterSetting(.learningRate, settings.learningRate), HyperparameterSetting(.momentum, settings.momentum),
      HyperparameterSetting(.nesterov, settings.nesterov), HyperparameterSetting(.weightDecay, settings.weightDecay),
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
  }

  /// Weights of the gradient and of the momentum buffer in the direction.
  private var direction: (gradient: Double, momentum: Double) { settings.nesterov ? (1, settings.momentum) : (0, 1) }

  /// The element-wise pass of the step begun last, in single precision.
  public func update(_ range: ElementRange<Float>) {
    fw_sgd(
      range.gradients, range.gradientCount,
      fw_sgd_step(
        gradient_scale: range.gradientScale, learning_rate: Float(currentLearningRate),
        momentum: Float(settings.momentum), gradient_weight: Float(direction.gradient),
        momentum_weight: Float(direction.momentum), weight_decay: Float(settings.weightDecay)),
      range.y, range.state[0], range.state[1], range.count)
  }

  /// Copies the parameters to y, in single precision.
  public func writeGradientPoint(
    state: UnsafePointer<UnsafeMutablePointer<Float>>, y: UnsafeMutablePointer<Float>, count: Int
  ) {
    y.update(from: state[0], count: count)
  }

  private static let slots = [
    StateSlot(name: "parameters", initial: .parameters), StateSlot(name: "momentum_buffer", initial: .zeros),
  ]
}

extension SGD: PlainRule {
  func plainUpdate<Scalar: BinaryFloatingPoint>(_ range: ElementRange<Scalar>) {
    let (learningRate, momentum, decay) =
      (Scalar(currentLearningRate), Scalar(settings.momentum), Scalar(settings.weightDecay))
    let (gradientWeight, momentumWeight) = (Scalar(direction.gradient), Scalar(direction.momentum))
    let (p, m) = (range.state[0], range.state[1])
    for i in 0..<range.count {
      let g = range.gradient(at: i) + decay * p[i]
      m[i] = momentum * m[i] + g
      let u = gradientWeight * g + momentumWeight * m[i]
      p[i] = p[i] - learningRate * u
      range.y[i] = p[i]
    }
  }

  func plainGradientPoint<Scalar: BinaryFloatingPoint>(
    state: UnsafePointer<UnsafeMutablePointer<Scalar>>, y: UnsafeMutablePointer<Scalar>, count: Int
  ) {
    y.update(from: state[0], count: count)
  }
}

extension SGD {
  /// The registry's entry.
  static let method = OptimizerMethod(
    name: "sgd", summary: "SGD with momentum and a learning-rate schedule, for comparison"
  ) { options in
    let defaults = Hyperparameters()
    return try SGD(
      Hyperparameters(
        learningRate: options.learningRate ?? defaults.learningRate, momentum: options.momentum ?? defaults.momentum,
        nesterov: options.nesterov ?? defaults.nesterov, weightDecay: options.weightDecay ?? defaults.weightDecay,
        warmupSteps: options.warmupSteps ?? defaults.warmupSteps,
        schedule: LearningRateSchedule(options.schedule ?? .constant, totalSteps: options.totalSteps)))
  }
}

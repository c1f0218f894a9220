/// Hyperparameters as a user gives them: whatever is `nil` takes the method's default.
public struct OptimizerOptions: Sendable, Hashable {
  /// See ``Hyperparameter/learningRate``.
  public var learningRate: Double?
  /// See ``Hyperparameter/momentum``.
  public var momentum: Double?
  /// See ``Hyperparameter/beta1``.
  public var beta1: Double?
  /// See ``Hyperparameter/beta2``.
  public var beta2: Double?
  /// See ``Hyperparameter/epsilon``.
  public var epsilon: Double?
  /// See ``Hyperparameter/weightDecay``.
  public var weightDecay: Double?
  /// See ``Hyperparameter/warmupSteps``.
  public var warmupSteps: Int?
  /// See ``Hyperparameter/averagingPower``.
  public var averagingPower: Double?
  /// See ``Hyperparameter/weightLRPower``.
  public var weightLRPower: Double?
  /// See ``Hyperparameter/schedule``.
  public var schedule: LearningRateSchedule.Shape?
  /// See ``Hyperparameter/nesterov``.
  public var nesterov: Bool?

  /// The length of the run in steps, for schedules that decay over it. A fact about the run rather than a
  /// hyperparameter: it may be given to any method, and those that do not need it do not look at it.
  public var totalSteps: Int?

  /// Options that leave everything at its default.
  public init() {}

  /// The hyperparameters that were given.
  var given: [Hyperparameter] {
    let all: [(Hyperparameter, Bool)] = [
      (.learningRate, learningRate != nil), (.momentum, momentum != nil), (.beta1, beta1 != nil),
      (.beta2, beta2 != nil),
      (.epsilon, epsilon != nil), (.weightDecay, weightDecay != nil), (.warmupSteps, warmupSteps != nil),
      (.averagingPower, averagingPower != nil), (.weightLRPower, weightLRPower != nil), (.schedule, schedule != nil),
      (.nesterov, nesterov != nil),
    ]
    return all.filter(\.1).map(\.0)
  }
}

/// An optimizer that can be chosen by name.
public struct OptimizerMethod: Sendable {
  /// The name, as given to `--optimizer`.
  public let name: String
  /// One line for a help page.
  public let summary: String
  private let make: @Sendable (OptimizerOptions) throws -> any UpdateRule

  /// Describes a method; `make` applies the options that the method knows and leaves out the others.
  init(name: String, summary: String, make: @escaping @Sendable (OptimizerOptions) throws -> any UpdateRule) {
    self.name = name
    self.summary = summary
    self.make = make
  }

  /// The hyperparameters that the method takes, with their defaults.
  public func defaults() throws -> [HyperparameterSetting] { try make(OptimizerOptions()).hyperparameters }

  /// A rule with the given options.
  ///
  /// - Throws: ``HyperparameterError`` for a value out of range, and for an option that the method does not have.
  public func makeRule(_ options: OptimizerOptions = OptimizerOptions()) throws -> any UpdateRule {
    let accepted = try defaults().map(\.name)
    for name in options.given where !accepted.contains(name) {
      throw HyperparameterError.notApplicable(name: name, method: self.name, accepted: accepted)
    }
    return try make(options)
  }
}

/// All optimizers, by name.
public enum OptimizerRegistry {
  /// The methods, in the order in which help pages list them.
  public static let methods: [OptimizerMethod] = [
    AdamWScheduleFree.method,
    SGDScheduleFree.method,
    AdamW.method,
    SGD.method,
  ]

  /// The method called `name`.
  ///
  /// - Throws: ``HyperparameterError/unknownMethod(name:known:)``.
  public static func method(named name: String) throws -> OptimizerMethod {
    guard let method = methods.first(where: { $0.name == name }) else {
      throw HyperparameterError.unknownMethod(name: name, known: methods.map(\.name))
    }
    return method
  }

  /// A rule of the method called `name`.
  ///
  /// - Throws: ``HyperparameterError`` for an unknown name, a value out of range, or an option that the method does not
  ///   have.
  public static func makeRule(named name: String, options: OptimizerOptions = OptimizerOptions()) throws
    -> any UpdateRule
  {
    try method(named: name).makeRule(options)
  }
}

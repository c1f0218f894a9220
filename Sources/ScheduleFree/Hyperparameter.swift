/// The hyperparameters that some method of ``OptimizerRegistry`` takes. Raw values are spelled as command-line flags
/// are.
public enum Hyperparameter: String, Sendable, Hashable, CaseIterable, CustomStringConvertible {
  /// The step size γ, before warmup and schedule.
  case learningRate = "learning-rate"
  /// β of SGDScheduleFree (y between z and x), or the decay of the momentum buffer of SGD.
  case momentum
  /// β₁: of AdamWScheduleFree the place of y between z and x, of AdamW the decay of the first moment.
  case beta1
  /// β₂, the decay of the second moment.
  case beta2
  /// ε, added to the root of the second moment.
  case epsilon
  /// λ, the decoupled (or, for SGD, the L2) weight decay.
  case weightDecay = "weight-decay"
  /// Steps over which the learning rate rises linearly to its full value.
  case warmupSteps = "warmup-steps"
  /// r: the weight of a step in the average x grows as (k+1)^r.
  case averagingPower = "averaging-power"
  /// The weight of a step in the average x grows as this power of the largest learning rate so far.
  case weightLRPower = "weight-lr-power"
  /// The shape of the learning rate's decay, for methods that need one.
  case schedule
  /// Nesterov's momentum instead of heavy-ball momentum.
  case nesterov

  /// The raw value.
  public var description: String { rawValue }
}

/// One hyperparameter and the value it has in a rule.
public struct HyperparameterSetting: Sendable, Hashable, CustomStringConvertible {
  /// Which one.
  public let name: Hyperparameter
  /// Its value, as text that reads back as the same value.
  public let value: String

  /// Pairs a hyperparameter with its value.
  public init(_ name: Hyperparameter, _ value: some CustomStringConvertible) {
    self.name = name
    self.value = value.description
  }

  /// `name=value`.
  public var description: String { "\(name)=\(value)" }
}

/// A hyperparameter or method that cannot be used.
public enum HyperparameterError: Error, Hashable, CustomStringConvertible {
  /// The value is outside the range in which the method is defined.
  case outOfRange(name: Hyperparameter, value: String, expected: String)
  /// The method has no such hyperparameter.
  case notApplicable(name: Hyperparameter, method: String, accepted: [Hyperparameter])
  /// A decaying schedule needs the number of steps it decays over.
  case totalStepsNeeded(schedule: String, found: String)
  /// There is no method of this name.
  case unknownMethod(name: String, known: [String])

  /// What is wrong and what was expected, in one line.
  public var description: String {
    switch self {
    case .outOfRange(let name, let value, let expected):
      return "\(name) is \(value); expected \(expected)"
    case .notApplicable(let name, let method, let accepted):
      return "\(name) does not apply to optimizer '\(method)', which takes "
        + accepted.map(\.rawValue).joined(separator: ", ")
    case .totalStepsNeeded(let schedule, let found):
      return "schedule '\(schedule)' needs the total number of steps, more than the warmup steps; found \(found)"
    case .unknownMethod(let name, let known):
      return "there is no optimizer '\(name)'; choose one of \(known.joined(separator: ", "))"
    }
  }
}

/// Range checks shared by the rules. Every check refuses NaN and infinity, because no comparison with them holds.
enum HyperparameterCheck {
  /// The largest value of a step size or decay: beyond it, products with it overflow single precision.
  private static let largest = 1e18

  /// λ, γ: at least 0.
  static func nonNegative(_ name: Hyperparameter, _ value: Double) throws {
    guard value >= 0, value <= largest else { throw outOfRange(name, value, "a value from 0 to \(largest)") }
  }

  /// β: at least 0 and below 1, also after rounding to single precision, in which the kernels compute.
  static func decayRate(_ name: Hyperparameter, _ value: Double) throws {
    guard value >= 0, Float(value) < 1 else { throw outOfRange(name, value, "a value in [0, 1)") }
  }

  /// ε: above 0. With 0, elements that never had a gradient (padding among them) would be updated by 0/0.
  static func epsilon(_ value: Double) throws {
    let smallest = Double(Float.leastNormalMagnitude)
    guard value >= smallest, value <= largest else {
      throw outOfRange(.epsilon, value, "a value above 0 (from \(smallest) to \(largest)), because 0 leads to 0/0")
    }
  }

  /// A count of steps: at least 0.
  static func steps(_ name: Hyperparameter, _ value: Int) throws {
    guard value >= 0 else {
      throw HyperparameterError.outOfRange(name: name, value: String(value), expected: "a whole number of at least 0")
    }
  }

  /// The exponents of the averaging weights. Within this range the weights of 10⁹ steps stay finite.
  static func exponent(_ name: Hyperparameter, _ value: Double) throws {
    guard value >= 0, value <= 16 else { throw outOfRange(name, value, "a value in [0, 16]") }
  }

  /// The error for a value outside its range.
  static func outOfRange(_ name: Hyperparameter, _ value: Double, _ expected: String) -> HyperparameterError {
    .outOfRange(name: name, value: value.description, expected: expected)
  }
}

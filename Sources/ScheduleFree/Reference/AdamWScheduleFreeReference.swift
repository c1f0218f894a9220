import Foundation

/// Schedule-Free AdamW written down as the paper has it (arXiv 2405.15682, algorithm 1), three sequences, a second
/// moment and no tricks: what ``AdamWScheduleFree`` is tested against, and the place to read how the method works.
///
/// As in the `schedulefree` package, the bias of v is corrected in the denominator, before ε is added; the paper's
/// listing corrects it by a factor on the learning rate.
public struct AdamWScheduleFreeReference: Sendable {
  /// The base sequence.
  public private(set) var z: [Double]
  /// The weighted average of z: what to evaluate.
  public private(set) var x: [Double]
  /// The running average of the squared gradient.
  public private(set) var v: [Double]
  /// Between z and x: where the gradient is taken.
  public var y: [Double] { zip(z, x).map { z, x in (1 - settings.beta1) * z + settings.beta1 * x } }

  private let settings: AdamWScheduleFree.Hyperparameters
  private var k = 0
  private var learningRateMax = 0.0
  private var weightSum = 0.0

  /// Starts at `parameters`.
  ///
  /// - Throws: ``HyperparameterError`` for a value out of range.
  public init(
    parameters: [Double], _ hyperparameters: AdamWScheduleFree.Hyperparameters = AdamWScheduleFree.Hyperparameters()
  ) throws {
    _ = try AdamWScheduleFree(hyperparameters)  // checks the values
    z = parameters
    x = parameters
    v = parameters.map { _ in 0 }
    settings = hyperparameters
  }

  /// One step.
  ///
  /// - Parameter gradient: the gradient at ``y``, one value per parameter.
  public mutating func step(gradient: [Double]) {
    let warmup = k < settings.warmupSteps ? Double(k + 1) / Double(settings.warmupSteps) : 1
    let learningRate = settings.learningRate * warmup

    learningRateMax = max(learningRateMax, learningRate)
    let weight = pow(Double(k + 1), settings.averagingPower) * pow(learningRateMax, settings.weightLRPower)
    weightSum += weight
    let c = weightSum > 0 ? weight / weightSum : 0

    v = zip(v, gradient).map { v, g in settings.beta2 * v + (1 - settings.beta2) * g * g }
    let correction = 1 - pow(settings.beta2, Double(k + 1))
    let normalized = zip(gradient, v).map { g, v in g / ((v / correction).squareRoot() + settings.epsilon) }
    let u = zip(normalized, y).map { g, y in g + settings.weightDecay * y }
    z = zip(z, u).map { z, u in z - learningRate * u }
    x = zip(x, z).map { x, z in (1 - c) * x + c * z }
    k += 1
  }
}

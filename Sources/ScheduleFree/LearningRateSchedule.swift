import Foundation

/// How the learning rate of a method with a schedule falls over a run. Schedule-free methods take none.
public enum LearningRateSchedule: Sendable, Hashable {
  /// It does not fall.
  case constant
  /// It falls linearly, to 0 after `totalSteps`.
  case linear(totalSteps: Int)
  /// It falls along half a cosine, to 0 after `totalSteps` (arXiv 1608.03983, without restarts).
  case cosine(totalSteps: Int)

  /// The schedules by name.
  public enum Shape: String, Sendable, Hashable, CaseIterable {
    /// ``LearningRateSchedule/constant``
    case constant
    /// ``LearningRateSchedule/linear(totalSteps:)``
    case linear
    /// ``LearningRateSchedule/cosine(totalSteps:)``
    case cosine
  }

  /// A schedule of the given shape.
  ///
  /// - Parameter totalSteps: the length of the run in steps; not looked at for `constant`.
  /// - Throws: ``HyperparameterError/totalStepsNeeded(schedule:found:)`` where a decaying schedule gets none.
  public init(_ shape: Shape, totalSteps: Int?) throws {
    switch (shape, totalSteps) {
    case (.constant, _): self = .constant
    case (.linear, .some(let steps)): self = .linear(totalSteps: steps)
    case (.cosine, .some(let steps)): self = .cosine(totalSteps: steps)
    case (_, nil): throw HyperparameterError.totalStepsNeeded(schedule: shape.rawValue, found: "none")
    }
  }

  /// The schedule's name.
  public var shape: Shape {
    switch self {
    case .constant: .constant
    case .linear: .linear
    case .cosine: .cosine
    }
  }

  /// The steps a decay takes, counted from the start of the run, warmup included.
  public var totalSteps: Int? {
    switch self {
    case .constant: nil
    case .linear(let steps), .cosine(let steps): steps
    }
  }

  /// The factor on the learning rate at step k, counted from 0.
  ///
  /// During warmup it is (k+1)/warmupSteps; the decay then runs from step `warmupSteps`, at which the factor is 1, to
  /// `totalSteps`, from which on it is 0.
  public func factor(step k: Int, warmupSteps: Int) -> Double {
    if k < warmupSteps { return Double(k + 1) / Double(warmupSteps) }
    guard let totalSteps else { return 1 }
    guard k < totalSteps else { return 0 }
    let progress = Double(k - warmupSteps) / Double(totalSteps - warmupSteps)
    return shape == .linear ? 1 - progress : (1 + cos(.pi * progress)) / 2
  }

  /// Checks that the decay begins before it ends.
  ///
  /// - Throws: ``HyperparameterError``.
  func check(warmupSteps: Int) throws {
    guard let totalSteps, totalSteps <= warmupSteps else { return }
    throw HyperparameterError.totalStepsNeeded(
      schedule: shape.rawValue, found: "\(totalSteps) steps in all and \(warmupSteps) of warmup")
  }
}

import ArgumentParser
import DataParallel

/// What becomes of a run whose loss or gradient is not a finite number in some step.
public enum OnNonFinite: String, ExpressibleByArgument, Sendable, CaseIterable {
  /// The run ends with an error. Its checkpoints are from before.
  case stop
  /// The step is left out, and the next one goes on with the next batch.
  case skip

  /// The same in the terms of the optimizer.
  var steps: NonFiniteSteps {
    switch self {
    case .stop: .reported
    case .skip: .skipped
    }
  }
}

/// A step that was left out, because its loss or gradient was not a finite number.
public struct SkippedStep: Sendable {
  /// Steps done, this one included.
  public var step: Int
  /// Passes over the training data done, with fraction.
  public var epoch: Double
  /// What was not a finite number, and what it was, in words.
  public var reason: String
  /// Steps that were skipped without one between them that was not.
  public var inARow: Int
  /// Steps skipped since the start of the run.
  public var total: Int
  /// Seconds since this process started the run.
  public var seconds: Double
}

/// Something that is not a finite number, found in a step.
struct NonFiniteFinding: Equatable {
  var what: String
  var value: Double

  var description: String { "\(what) is \(Self.text(value))" }

  /// A value in words; the sign of what is not a number means nothing.
  static func text(_ value: Double) -> String { value.isNaN ? "nan" : "\(value)" }

  /// Finds what to tell: the first lane whose loss is not finite says more than what followed from it.
  ///
  /// - Parameters:
  ///   - losses: the loss of every lane.
  ///   - lanes: how lanes are divided over ranks.
  ///   - error: what the optimizer met; nil if that is a parameter after the update.
  init(losses: [Double], lanes: Lanes, error: DataParallelError?) {
    if let lane = losses.firstIndex(where: { !$0.isFinite }) {
      let rank = "rank \(lane / lanes.perRank)"
      self.init(what: "the loss of \(lanes.perRank == 1 ? rank : "lane \(lane), on \(rank),")", value: losses[lane])
      return
    }
    switch error {
    case .nonFiniteGradient(let norm, _)?: self.init(what: "the gradient norm", value: norm)
    case .nonFiniteTotal(let name, let value, _)?: self.init(what: "the sum \(name) over all parameters", value: value)
    case .nonFiniteLoss(let value, _)?: self.init(what: "the loss", value: value)
    default: self.init(what: "a gradient or a parameter updated from it", value: .nan)
    }
  }

  private init(what: String, value: Double) {
    self.what = what
    self.value = value
  }
}

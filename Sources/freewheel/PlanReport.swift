import Foundation
import Neural

/// What the plan benchmark found: lines for people, and JSON. Times are in seconds.
struct PlanReport: Codable {
  /// One primitive, timed alone: medians over the rounds.
  struct Row: Codable {
    let layer: String
    let direction: String
    let implementation: String
    /// What it stands for, where the plan has a kernel of its own.
    let equivalent: String?
    let seconds: Double
    /// Of the fastest way to do this work; 0 for copies between layouts.
    let bestSeconds: Double
    /// Of a convolution, by the name of the algorithm.
    let alternatives: [String: Double]

    /// - Parameter samples: the timings of one primitive, a round each; at least one.
    init(_ samples: [PrimitiveTiming]) {
      let first = samples[0]
      layer = first.record.layer
      direction = first.record.direction.rawValue
      implementation = first.record.implementation
      equivalent = first.equivalent
      seconds = Spread(samples.map(\.seconds)).median
      bestSeconds = Spread(samples.map(\.bestSeconds)).median
      var alternatives: [String: Double] = [:]
      for index in first.alternatives.indices {
        alternatives[first.alternatives[index].algorithm.rawValue] =
          Spread(samples.map { $0.alternatives[index].seconds }).median
      }
      self.alternatives = alternatives
    }

    /// A line of the table.
    fileprivate var line: String {
      let notes =
        (equivalent.map { ["for our \($0)"] } ?? [])
        + alternatives.sorted { $0.key < $1.key }.map { String(format: "%@ %.3f", $0.key, $0.value * 1e3) }
      return pad(layer, 28) + pad(direction, 18) + pad(implementation, 30)
        + "\(milliseconds(seconds)) \(milliseconds(bestSeconds))  \(notes.joined(separator: ", "))"
    }
  }

  let machine: Machine
  let model: String
  let precision: String
  let convolution: String
  let batchSize: Int
  let parameters: Int
  let oneDNN: String
  /// What times were taken with.
  let clock: String
  let rows: [Row]
  /// Forward and backward together, over all steps.
  let step: Spread
  /// The sum of the primitives' best times.
  let sum: Double
  /// What part of the sum stands for kernels of the plan's own.
  let equivalentSum: Double
  /// The median step of a round over the sum of that round.
  let stepOverSum: Spread

  /// - Parameters:
  ///   - steps: seconds of each step, round by round; at least one a round.
  ///   - primitives: every primitive, round by round; at least one round.
  init(
    model: String, plan: Plan, clock: ProfileClock, steps rounds: [[Double]], primitives: [[PrimitiveTiming]]
  ) {
    machine = .current()
    self.model = model
    precision = plan.options.precision.rawValue
    convolution = plan.options.convolution.rawValue
    batchSize = plan.batchSize
    parameters = plan.layout.parameterCount
    oneDNN = Plan.libraryVersion
    self.clock = clock.rawValue
    rows = primitives[0].indices.map { index in Row(primitives.map { $0[index] }) }
    step = Spread(rounds.flatMap { $0 })
    sum = rows.map(\.bestSeconds).reduce(0, +)
    equivalentSum = rows.filter { $0.equivalent != nil }.map(\.bestSeconds).reduce(0, +)
    stepOverSum = Spread(
      zip(rounds, primitives).map { steps, round in
        Spread(steps).median / round.map(\.bestSeconds).reduce(0, +)
      })
  }

  /// The table, and the step against the sum.
  var text: String {
    var lines = [
      "\(model), batch \(batchSize), \(precision), \(parameters) parameters, oneDNN \(oneDNN), "
        + "convolution \(convolution)",
      "\(machine.description); \(clock) time",
      pad("layer", 28) + pad("direction", 18) + pad("implementation", 30) + "      ms  best ms  notes",
    ]
    lines += rows.map(\.line)
    lines.append(pad("sum", 76) + "\(milliseconds(rows.map(\.seconds).reduce(0, +))) \(milliseconds(sum))")
    lines.append(
      String(
        format: "of the sum of the best, %.3f ms (%.0f %%) stand for kernels of Freewheel's own", equivalentSum * 1e3,
        100 * equivalentSum / sum))
    lines.append(
      String(
        format: "whole step (forward and backward): median %.3f ms, fastest %.3f ms; %.3f of the sum of the best"
          + " primitives (%.3f - %.3f by round)",
        step.median * 1e3, step.smallest * 1e3, stepOverSum.median, stepOverSum.smallest, stepOverSum.largest))
    return lines.joined(separator: "\n")
  }
}

private func milliseconds(_ seconds: Double) -> String { String(format: "%8.3f", seconds * 1e3) }

private func pad(_ text: String, _ width: Int) -> String {
  text + String(repeating: " ", count: max(1, width - text.count))
}

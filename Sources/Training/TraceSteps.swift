import ArgumentParser

/// The steps that a timeline shows: `A:B`, counted from 1, both included.
public struct TraceSteps: ExpressibleByArgument, Sendable, CustomStringConvertible {
  /// A timeline of more steps would be too large to look at.
  static let mostSteps = 1000

  /// The steps.
  public var range: ClosedRange<Int>

  /// Reads `A:B`, or `A` for a single step.
  public init?(argument: String) {
    let parts = argument.split(separator: ":", omittingEmptySubsequences: false).map { Int($0) }
    guard let first = parts.first ?? nil, let last = parts.last ?? nil, parts.count <= 2, first >= 1, last >= first,
      last - first < Self.mostSteps
    else { return nil }
    range = first...last
  }

  /// Steps `first` to `last`.
  init(_ range: ClosedRange<Int>) { self.range = range }

  /// As it is written on the command line.
  public var description: String { "\(range.lowerBound):\(range.upperBound)" }
}

/// What can be wrong with a data-parallel set-up. Each case prints as one line for people.
public enum DataParallelError: Error, CustomStringConvertible, Equatable {
  /// The description of the arena contradicts itself.
  case invalidLayout(String)

  /// The ranks were started with different programs, models or options. `rank` differs from rank 0 in one setting.
  case ranksDisagree(rank: Int, setting: String, here: String, there: String)

  /// An array handed in has the wrong number of elements.
  case wrongElementCount(what: String, expected: Int, found: Int)

  /// The gradient's norm is not a finite number, so there is nothing to clip to.
  case nonFiniteGradient(norm: Double, step: Int)

  /// Memory for an arena or a shard could not be had.
  case outOfMemory(byteCount: Int, what: String)

  /// A description in one line: what was wrong, what was expected, what to do.
  public var description: String {
    switch self {
    case .invalidLayout(let reason):
      return "invalid parameter layout: \(reason)"
    case .ranksDisagree(let rank, let setting, let here, let there):
      return
        "the ranks do not agree on \(setting): rank 0 has '\(here)', rank \(rank) has '\(there)'; start every rank with the same program and flags"
    case .wrongElementCount(let what, let expected, let found):
      return "\(what) has \(found) elements; expected \(expected)"
    case .nonFiniteGradient(let norm, let step):
      return
        "the gradient norm is \(norm) in step \(step): training diverged; try a smaller learning rate or more warmup steps"
    case .outOfMemory(let byteCount, let what):
      return "no memory for \(what): \(byteCount) bytes could not be allocated"
    }
  }
}

/// What can be wrong with a data-parallel set-up. Each case prints as one line for people.
public enum DataParallelError: Error, CustomStringConvertible, Equatable {
  /// The description of the arena contradicts itself.
  case invalidLayout(String)

  /// Lanes are not ranks times a power of two.
  case unevenLanes(lanes: Int, ranks: Int)

  /// The ranks were started with different programs, models or options. `rank` differs from rank 0 in one setting.
  case ranksDisagree(rank: Int, setting: String, here: String, there: String)

  /// An array handed in has the wrong number of elements.
  case wrongElementCount(what: String, expected: Int, found: Int)

  /// The gradient's norm is not a finite number, so there is nothing to clip to. Steps are counted from 1.
  case nonFiniteGradient(norm: Double, step: Int)

  /// A sum over all parameters that the update rule needs is not a finite number. Steps are counted from 1.
  case nonFiniteTotal(name: String, value: Double, step: Int)

  /// The loss, which the update rule needs, is not a finite number. Steps are counted from 1.
  case nonFiniteLoss(value: Double, step: Int)

  /// The update rule needs the loss, and was not told it.
  case lossMissing(rule: String)

  /// The parameter groups contradict each other or do not tile the arena.
  case invalidGroups(String)

  /// Saved counters are not of these parameter groups.
  case otherGroups(String)

  /// Recursive halving over a number of nodes that is no power of two.
  case halvingNeedsPowerOfTwo(nodes: Int)

  /// A thread for communication could not be started.
  case noThread(reason: String)

  /// Memory for an arena or a shard could not be had.
  case outOfMemory(byteCount: Int, what: String)

  /// Whether this tells of a step that met something that is not a finite number.
  public var isNonFinite: Bool {
    switch self {
    case .nonFiniteGradient, .nonFiniteTotal, .nonFiniteLoss: true
    default: false
    }
  }

  /// A description in one line: what was wrong, what was expected, what to do.
  public var description: String {
    switch self {
    case .invalidLayout(let reason):
      return "invalid parameter layout: \(reason)"
    case .unevenLanes(let lanes, let ranks):
      return
        "\(lanes) lanes cannot be divided over \(ranks) \(ranks == 1 ? "rank" : "ranks"): there must be a power of two of "
        + "them for each rank (\(ranks), \(2 * ranks), \(4 * ranks), …)"
    case .ranksDisagree(let rank, let setting, let here, let there):
      return "the ranks do not agree on \(setting): rank 0 has '\(here)', rank \(rank) has '\(there)'; "
        + "start every rank with the same program and flags"
    case .wrongElementCount(let what, let expected, let found):
      return "\(what) has \(found) elements; expected \(expected)"
    case .nonFiniteGradient(let norm, let step):
      return Self.diverged("the gradient norm", norm, step)
    case .nonFiniteTotal(let name, let value, let step):
      return Self.diverged("the sum \(name) over all parameters", value, step)
    case .nonFiniteLoss(let value, let step):
      return Self.diverged("the loss", value, step)
    case .lossMissing(let rule):
      return "\(rule) needs the loss of every step: hand this rank's part of it to finishStep(stopRequested:loss:)"
    case .invalidGroups(let reason):
      return "invalid parameter groups: \(reason)"
    case .otherGroups(let reason):
      return "the saved counters are not of these parameter groups: \(reason); resume with the groups of the run"
    case .halvingNeedsPowerOfTwo(let nodes):
      return "recursive halving takes 2, 4, 8, … nodes, and there are \(nodes): use '--inter-node direct'"
    case .noThread(let reason):
      return "the communication thread could not be started (\(reason)); '--exchange flat' does without one"
    case .outOfMemory(let byteCount, let what):
      return "no memory for \(what): \(byteCount) bytes could not be allocated"
    }
  }

  private static func diverged(_ what: String, _ value: Double, _ step: Int) -> String {
    "\(what) is \(value) in step \(step): training diverged; try a smaller learning rate or more warmup steps"
  }
}

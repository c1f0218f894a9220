/// What can be wrong with a run. Each case prints as one line for people.
public enum TrainingError: Error, CustomStringConvertible, Equatable {
  /// The data's shape is not what the network takes.
  case dataShape(data: String, found: [Int], expected: [Int])
  /// The network's number of outputs is smaller than the number of classes.
  case tooFewOutputs(outputs: Int, classes: Int, data: String)
  /// The checkpoint was made with other settings.
  case otherSettings(path: String, setting: String, saved: String, given: String)
  /// Lanes are not ranks times a power of two.
  case lanes(lanes: Int, ranks: Int)
  /// Batches of several ranks are to be normalised together, but a rank has several lanes.
  case pooledLanes(lanes: Int, ranks: Int)
  /// The checkpoint was made with another number of lanes, which changes the global batch.
  case otherLanes(path: String, saved: String, given: String)
  /// A loss or a parameter is not a finite number.
  case diverged(what: String, value: Double, step: Int)
  /// One step after the other met something that is not a finite number, and was skipped.
  case onlySkips(count: Int, finding: String, step: Int)
  /// While this run was starting, another job went on with the run it was to continue.
  case runWentOn(path: String)
  /// A pattern matches the name of no tensor.
  case unmatchedPattern(flag: String, pattern: String, names: [String])
  /// A flag gives some tensors hyperparameters that cannot be used.
  case groupSetting(flag: String, setting: String, reason: String)
  /// The method has no learning rate that could be multiplied.
  case noLearningRate(optimizer: String)

  /// bfloat16 was asked for, and some ranks' processors have no instructions for it.
  case noBFloat16(reason: String)
  /// Hosts differ in a way that changes results.
  case mixedHosts(difference: String)
  /// The timeline cannot be made.
  case trace(path: String, reason: String)
  /// The number of oneDNN's threads cannot be set here.
  case threadsFixed(wanted: Int)

  /// For a message about lanes: the numbers of ranks that they can be divided over.
  private static func rankChoices(_ lanes: Int) -> String {
    guard lanes > 1 else { return "" }
    let choices = (0...lanes.trailingZeroBitCount).map { "\(lanes >> $0)" }.reversed().joined(separator: ", ")
    return ", or start \(choices) \(lanes == 1 ? "rank" : "ranks")"
  }

  /// A description in one line: what was wrong, what was expected, what to do.
  public var description: String {
    switch self {
    case .dataShape(let data, let found, let expected):
      return "\(data) has examples of shape \(found); the network takes \(expected)"
    case .tooFewOutputs(let outputs, let classes, let data):
      return "the network ends in \(outputs) outputs; \(data) has \(classes) classes"
    case .onlySkips(let count, let finding, let step):
      return "\(count) steps in a row were skipped, the last because \(finding) in step \(step): this does not pass by "
        + "itself; the newest checkpoint is good, so go on from it with a smaller learning rate, or look at the data "
        + "(--nonfinite-limit says how many are too many)"
    case .otherSettings(let path, let setting, let saved, let given):
      return "cannot resume \(path): it was made with \(setting) '\(saved)', this run has '\(given)'; "
        + "use the same flags, or begin a new run from its weights with --initial-weights"
    case .lanes(let lanes, let ranks):
      let some = [1, 2, 4].map { "\($0 * ranks)" }.joined(separator: ", ")
      return "--lanes \(lanes) cannot be divided over \(ranks) \(ranks == 1 ? "rank" : "ranks"): each rank computes a "
        + "power of two of lanes, so give \(some), …" + Self.rankChoices(lanes)
    case .pooledLanes(let lanes, let ranks):
      return "--batch-statistics global normalises the batches of all ranks together, which \(ranks) "
        + "\(ranks == 1 ? "rank" : "ranks") with \(lanes) lanes cannot, as a rank computes its lanes one after the "
        + "other; use as many ranks as lanes, or --batch-statistics rank"
    case .otherLanes(let path, let saved, let given):
      return "cannot resume \(path): it was made with \(saved) lanes, this run has \(given); give --lanes \(saved), "
        + "or begin a new run from its weights with --initial-weights"
    case .diverged(let what, let value, let step):
      return
        "\(what) is \(NonFiniteFinding.text(value)) after step \(step): training diverged, and nothing was saved of it; "
        + "try a smaller learning rate or more warmup steps, from the newest checkpoint or anew"
    case .unmatchedPattern(let flag, let pattern, let names):
      return "\(flag) \(pattern) matches no tensor; the network has \(names.joined(separator: ", "))"
    case .groupSetting(let flag, let setting, let reason):
      return "\(flag) '\(setting)': \(reason)"
    case .noLearningRate(let optimizer):
      return "--learning-rate-factor does not apply to optimizer '\(optimizer)', which has no learning rate"
    case .noBFloat16(let reason):
      return "--precision bfloat16: \(reason); --without-bfloat16 float32 goes on in float32"
    case .threadsFixed(let wanted):
      return "--threads-per-rank \(wanted): oneDNN does not compute with OpenMP in this process, so the number of its "
        + "threads cannot be set; leave the flag out, and set it as the threading library of that oneDNN has it"
    case .mixedHosts(let difference):
      return "\(difference); --mixed-hosts allow runs all the same"
    case .trace(let path, let reason):
      return "--trace \(path): \(reason)"
    case .runWentOn(let path):
      return "\(path): another job has gone on with this run in the meantime; resume it again"
    }
  }
}

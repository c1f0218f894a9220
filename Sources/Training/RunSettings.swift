import DataParallel
import Neural
import ScheduleFree

/// The settings that decide what a run computes: compared over the ranks before the first step, and with a
/// checkpoint's when it is resumed. Two runs with equal settings on equal data do the same arithmetic.
struct RunSettings: Codable, Equatable {
  /// Values by name; names are those of the flags where there is one.
  var values: [String: String]

  init(
    program: String, options: TrainingOptions, rule: any UpdateRule, layout: ParameterLayout, network: Sequential,
    data: TrainingData, precision: Precision, rankCount: Int, laneCount: Int,
    computeThreads: String, totalSteps: Int
  ) {
    values = [
      "program": program,
      "model": "\(network.input)" + network.layers.map { ", \($0)" }.joined(),
      "parameter layout": layout.fingerprint,
      "data": data.fingerprint,
      "optimizer": rule.name,
      "global batch": "\(options.batchSize * options.accumulate * laneCount)",
      "batch-size": "\(options.batchSize)",
      "accumulate": "\(options.accumulate)",
      "lanes": "\(laneCount)",
      "ranks": "\(rankCount)",
      "compute threads": computeThreads,
      "seed": "\(options.seed)",
      "no-shuffle": "\(options.noShuffle)",
      "last-batch": options.lastBatch.rawValue,
      "dropout-scale": "\(options.dropoutScale)",
      "label-smoothing": "\(options.labelSmoothing)",
      "convolution": options.convolution.rawValue,
      "clip-norm": options.clipNorm.map { "\($0)" } ?? "off",
      // Shared and flat exchange give the same bits; only MPI's own order of sums is something else.
      "gradient sums": options.exchange == .allreduce ? "MPI's order" : "fixed tree",
    ]
    // As above: only what differs from what there was before these flags.
    if precision != .float32 { values["precision"] = precision.rawValue }
    if options.batchStatistics != .rank { values["batch-statistics"] = options.batchStatistics.rawValue }
    if options.betweenNodes.wire != .float32 { values["wire"] = options.betweenNodes.wire.rawValue }
    if let threads = options.threadsPerRank { values["threads-per-rank"] = "\(threads)" }
    // Only what was given: a run saved by a version without these flags can be continued.
    for (name, text) in options.parameterGroups.settings { values[name] = text }
    for setting in rule.hyperparameters { values[setting.name.rawValue] = setting.value }
    if let schedule = values["schedule"], schedule != "constant" { values["steps of the schedule"] = "\(totalSteps)" }
  }

  /// The settings as lines to be compared over the ranks.
  var fingerprint: Fingerprint {
    var fingerprint = Fingerprint()
    for name in values.keys.sorted() { fingerprint.add(name, values[name] ?? "") }
    return fingerprint
  }

  /// Settings that may differ when a run continues: they divide the same work otherwise, which changes the
  /// last bits but not the meaning of a step.
  private static let divisionOfBatch: Set<String> = [
    "lanes", "batch-size", "accumulate", "parameter layout", "compute threads",
  ]

  /// Whether the number of ranks changes no bits where that of lanes is the same: MPI's own order of sums follows the
  /// ranks.
  private var isFreeOfRanks: Bool { values["gradient sums"] == "fixed tree" }

  /// Settings that are not saved where they have these values.
  private static let defaults = [
    "precision": Precision.float32.rawValue, "batch-statistics": BatchStatistics.rank.rawValue,
    "wire": WireType.float32.rawValue,
  ]

  /// Compares the settings of a checkpoint with those of this run. A hyperparameter that the checkpoint says nothing of
  /// was at the method's default: the version that saved it did not have it yet.
  ///
  /// - Returns: what will not continue bit for bit, in words; nil if everything will.
  /// - Throws: ``TrainingError/otherSettings(path:setting:saved:given:)``.
  func verifyCanContinue(from saved: RunSettings, path: String) throws -> String? {
    // What explains most comes first: another optimizer has other hyperparameters as well.
    var saved = saved
    // Before there were lanes, each rank computed one.
    if saved.values["lanes"] == nil { saved.values["lanes"] = saved.values["ranks"] }
    // And of the threads no more was known than what the flag said.
    if saved.values["compute threads"] == nil {
      let flag = saved.values["threads-per-rank"]
      saved.values["compute threads"] = flag ?? (values["threads-per-rank"] == nil ? values["compute threads"] : nil)
    }
    let first = ["program", "model", "optimizer"]
    let names =
      first + Set(values.keys).union(saved.values.keys).subtracting(first + ["ranks", "threads-per-rank"]).sorted()
    let defaults = try defaultHyperparameters().merging(Self.defaults) { first, _ in first }
    for name in names where !Self.divisionOfBatch.contains(name) {
      let before = saved.values[name] ?? defaults[name] ?? "nothing"
      let now = values[name] ?? Self.defaults[name] ?? "nothing"
      guard before == now else {
        if name == "global batch", let lanes = saved.values["lanes"], let given = values["lanes"], lanes != given,
          saved.values["batch-size"] == values["batch-size"], saved.values["accumulate"] == values["accumulate"]
        {
          throw TrainingError.otherLanes(path: path, saved: lanes, given: given)
        }
        throw TrainingError.otherSettings(path: path, setting: name, saved: before, given: now)
      }
    }
    let division = Self.divisionOfBatch.union(isFreeOfRanks ? [] : ["ranks"])
    let changed = (names + ["ranks"]).filter { division.contains($0) && values[$0] != saved.values[$0] }
    guard !changed.isEmpty else { return nil }
    let list = changed.map { "\($0) was \(saved.values[$0] ?? "nothing"), is \(values[$0] ?? "nothing")" }
    return "the run continues with another division of the global batch, so not bit for bit "
      + "(\(list.joined(separator: "; ")))"
  }

  /// The hyperparameters of this run's method where nothing is given, by name.
  private func defaultHyperparameters() throws -> [String: String] {
    let method = try OptimizerRegistry.method(named: values["optimizer"] ?? "")
    return try Dictionary(
      method.defaults().map { ($0.name.rawValue, $0.value) }, uniquingKeysWith: { first, _ in first })
  }
}

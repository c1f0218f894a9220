import ArgumentParser
import DataParallel
import Glibc
import Neural
import ScheduleFree

/// A pattern for names of tensors and what is set for them, as given on the command line: `*.bias=0.5`.
public struct PatternSetting<Value: LosslessStringConvertible & Sendable>: ExpressibleByArgument, Sendable {
  /// A pattern as in file names of a shell: `*`, `?` and `[…]`.
  public var pattern: String
  /// What is set.
  public var value: Value

  /// Pairs a pattern with a value.
  public init(_ pattern: String, _ value: Value) {
    self.pattern = pattern
    self.value = value
  }

  /// Reads `PATTERN=VALUE`; nil if it is something else. The value follows the last equals sign.
  public init?(argument: String) {
    guard let sign = argument.lastIndex(of: "="), sign > argument.startIndex,
      let value = Value(String(argument[argument.index(after: sign)...]))
    else { return nil }
    self.init(String(argument[..<sign]), value)
  }

  /// As on the command line.
  public var description: String { "\(pattern)=\(value)" }
}

/// The flags that give some tensors hyperparameters of their own. Tensors are chosen by patterns for their names, as
/// `freewheel inspect` lists them.
public struct ParameterGroupFlags: ParsableArguments, Sendable {
  /// Patterns of tensors that get no weight decay.
  @Option(help: "No weight decay for tensors whose name matches, such as '*.bias'; may be repeated.")
  public var noDecay: [String] = []

  /// Factors on the learning rate of tensors by pattern; of several that match, the last holds.
  @Option(
    help: ArgumentHelp(
      "Factor on the learning rate of tensors whose name matches; may be repeated, and the last match holds.",
      valueName: "pattern=factor"))
  public var learningRateFactor: [PatternSetting<Double>] = []

  /// Steps before which tensors stay as they are, by pattern; of several that match, the last holds.
  @Option(
    help: ArgumentHelp(
      "Leave tensors whose name matches as they are for so many steps; may be repeated, and the last match holds.",
      valueName: "pattern=steps"))
  public var freeze: [PatternSetting<Int>] = []

  /// All values at their defaults: one group.
  public init() {}

  /// Refuses values that are impossible by themselves. Called by the argument parser.
  ///
  /// - Throws: `ValidationError` that names the flag, the value and what is allowed.
  public func validate() throws {
    if noDecay.contains("") { throw ValidationError("--no-decay is empty; expected a pattern such as '*.bias'") }
    for setting in learningRateFactor where !(setting.value >= 0 && setting.value.isFinite) {
      throw ValidationError("--learning-rate-factor is \(setting.description); expected a factor from 0")
    }
    for setting in freeze where !(0...TrainingOptions.largestStepCount).contains(setting.value) {
      throw ValidationError(
        "--freeze is \(setting.description); expected 0 to \(TrainingOptions.largestStepCount) steps")
    }
  }

  /// The flags given, by name, each as one text in their order, which matters.
  var settings: [String: String] {
    let texts = [
      "no-decay": noDecay, "learning-rate-factor": learningRateFactor.map(\.description),
      "freeze": freeze.map(\.description),
    ]
    return texts.filter { !$0.value.isEmpty }.mapValues { $0.joined(separator: " ") }
  }

  /// What is set for one tensor.
  struct Treatment: Hashable {
    /// Whether there is weight decay, as far as the method has it.
    var decays = true
    /// The factor on the learning rate.
    var learningRateFactor = 1.0
    /// Steps before which the tensor stays as it is.
    var joinsAfter = 0
  }

  /// What is set for each of the tensors.
  ///
  /// - Parameter names: the tensors' names.
  /// - Throws: ``TrainingError/unmatchedPattern(flag:pattern:names:)``.
  func treatments(of names: [String]) throws -> [Treatment] {
    var treatments = [Treatment](repeating: Treatment(), count: names.count)
    func set(_ flag: String, _ pattern: String, _ apply: (inout Treatment) -> Void) throws {
      let matches = names.indices.filter { fnmatch(pattern, names[$0], 0) == 0 }
      guard !matches.isEmpty else {
        throw TrainingError.unmatchedPattern(flag: flag, pattern: pattern, names: names)
      }
      for index in matches { apply(&treatments[index]) }
    }
    for pattern in noDecay { try set("--no-decay", pattern) { $0.decays = false } }
    for setting in learningRateFactor {
      try set("--learning-rate-factor", setting.pattern) { $0.learningRateFactor = setting.value }
    }
    for setting in freeze { try set("--freeze", setting.pattern) { $0.joinsAfter = setting.value } }
    return treatments
  }
}

/// Tensors that are updated alike, and the rule for them.
struct TensorGroup {
  /// The tensors' names, in the network's order.
  var names: [String]
  /// What sets them apart.
  var treatment: ParameterGroupFlags.Treatment
  /// The rule and the tensors' places in the arena.
  var group: ParameterGroup

  /// The method and its hyperparameters, and of which tensors, unless it is all.
  func description(amongOthers: Bool) -> String {
    let rule = group.rule
    let settings = rule.hyperparameters.map { "\($0.name) \($0.value)" }.joined(separator: ", ")
    guard amongOthers else { return "\(rule.name), \(settings)" }
    if treatment.joinsAfter == TrainingOptions.largestStepCount {
      return "not trained: \(names.joined(separator: ", "))"
    }
    let start = treatment.joinsAfter > 0 ? ", from step \(treatment.joinsAfter + 1) on" : ""
    return "\(rule.name), \(settings)\(start), for \(names.joined(separator: ", "))"
  }
}

extension TrainingOptions {
  /// Divides the tensors of a network into groups: those with equal settings are together, in the order of their
  /// first tensor.
  ///
  /// - Parameters:
  ///   - layout: the network's tensors; padding behind one goes with it.
  ///   - totalSteps: the length of the run. The schedule of a group that joins late spans the steps it takes part in.
  /// - Throws: `HyperparameterError`, ``TrainingError``.
  func makeGroups(layout: ParameterLayout, totalSteps: Int) throws -> [TensorGroup] {
    var treatments = try parameterGroups.treatments(of: layout.tensors.map(\.name))
    for index in treatments.indices where !layout.tensors[index].isTrainable {
      treatments[index] = ParameterGroupFlags.Treatment(joinsAfter: Self.largestStepCount)
    }
    var groups: [TensorGroup] = []
    for (index, (tensor, treatment)) in zip(layout.tensors, treatments).enumerated() {
      let isLast = index == layout.tensors.count - 1
      let start = index == 0 ? 0 : tensor.offset
      let range = start..<(isLast ? layout.count : layout.tensors[index + 1].offset)
      if let known = groups.firstIndex(where: { $0.treatment == treatment }) {
        groups[known].names.append(tensor.name)
        groups[known].group.ranges.append(range)
      } else {
        let rule = try makeRule(treatment, of: tensor.name, totalSteps: totalSteps)
        groups.append(
          TensorGroup(
            names: [tensor.name], treatment: treatment,
            group: ParameterGroup(rule: rule, ranges: [range], joinsAfter: treatment.joinsAfter)))
      }
    }
    guard groups.isEmpty else { return groups }
    let rule = try optimizer.makeRule(totalSteps: totalSteps)
    return [TensorGroup(names: [], treatment: .init(), group: ParameterGroup(rule: rule, ranges: [0..<layout.count]))]
  }

  /// The rule of tensors with settings of their own, of which `tensor` is the first.
  private func makeRule(
    _ treatment: ParameterGroupFlags.Treatment, of tensor: String, totalSteps: Int
  ) throws -> any UpdateRule {
    let method = try OptimizerRegistry.method(named: optimizer.name)
    // A group that would join behind the end never begins; its schedule has to have some length all the same.
    let joins = treatment.joinsAfter < totalSteps
    var options = optimizer.options(totalSteps: joins ? totalSteps - treatment.joinsAfter : totalSteps)
    if !treatment.decays && method.accepted.contains(.weightDecay) { options[.weightDecay] = 0 }
    // What cannot be used is the fault of the flag that changed something since it could.
    let rule = try naming("--freeze", parameterGroups.freeze, tensor, if: treatment.joinsAfter > 0) {
      try method.makeRule(options)
    }
    guard treatment.learningRateFactor != 1 else { return rule }
    guard let rate = rule.hyperparameters.first(where: { $0.name == .learningRate }).flatMap({ Double($0.value) })
    else {
      throw TrainingError.noLearningRate(optimizer: method.name)
    }
    options[.learningRate] = .number(rate * treatment.learningRateFactor)
    return try naming("--learning-rate-factor", parameterGroups.learningRateFactor, tensor, if: true) {
      try method.makeRule(options)
    }
  }

  /// Runs `body`; where `applies`, its errors are of the flag's last setting that matches the tensor.
  private func naming<Value, Result>(
    _ flag: String, _ settings: [PatternSetting<Value>], _ tensor: String, if applies: Bool, _ body: () throws -> Result
  ) throws -> Result {
    do {
      return try body()
    } catch let error as HyperparameterError {
      guard applies, let setting = settings.last(where: { fnmatch($0.pattern, tensor, 0) == 0 }) else { throw error }
      throw TrainingError.groupSetting(flag: flag, setting: setting.description, reason: error.description)
    }
  }
}

extension [TensorGroup] {
  /// The place of a group whose learning rate is the one that the flags give, for logs: one that takes part from the
  /// first step on and has no factor. Where each tensor's is another, a group without any tensor is added, which counts
  /// steps and learns the totals as all others do.
  ///
  /// - Parameter rule: the method with the hyperparameters of the flags.
  mutating func addLoggedGroup(rule: @autoclosure () -> any UpdateRule) -> Int {
    if let index = firstIndex(where: { $0.treatment.learningRateFactor == 1 && $0.treatment.joinsAfter == 0 }) {
      return index
    }
    append(TensorGroup(names: [], treatment: .init(), group: ParameterGroup(rule: rule(), ranges: [])))
    return count - 1
  }
}

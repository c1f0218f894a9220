import ArgumentParser

/// Sets of flags for a purpose, by name.
enum Recipe: String, ExpressibleByArgument, CaseIterable {
  /// A good accuracy in the least time on a few cores.
  case fast

  /// Flags with their values; those without one have an empty text.
  private var flags: [(flag: String, value: String)] {
    switch self {
    case .fast:
      [
        ("--model", "whitened"), ("--batch-size", "128"), ("--epochs", "14"),
        ("--optimizer", "adamw-schedulefree"), ("--learning-rate", "0.012"), ("--weight-decay", "0.2"),
        ("--decay-at", "z"), ("--beta1", "0.85"), ("--warmup-steps", "100"), ("--averaging-power", "1"),
        ("--label-smoothing", "0.1"),
        ("--crop-padding", "2"), ("--padding", "reflect"), ("--flip", "alternating"), ("--evaluate-views", "shifted"),
        ("--statistics-batches", "25"), ("--evaluate-every", "0"), ("--checkpoint-every", "0"),
      ]
    }
  }

  /// What a flag that takes no part in a recipe rules out of it.
  private static let excluded = [
    "--steps": ["--epochs"], "--no-augment": ["--crop-padding", "--padding", "--flip"],
    "--optimizer": ["--learning-rate", "--weight-decay", "--decay-at", "--beta1", "--averaging-power"],
  ]

  /// The recipe's flags in front of the given arguments, if these name one. What is given counts: of a flag that is
  /// there twice the parser takes the last.
  static func expanded(_ arguments: [String]) throws -> [String] {
    guard let recipe = named(in: arguments) else { return arguments }
    let given = Set(arguments.map { String($0.prefix { $0 != "=" }) })
    let ruledOut = given.flatMap { excluded[$0] ?? [] }
    let flags = recipe.flags.filter { !ruledOut.contains($0.flag) }
    return flags.flatMap { $0.value.isEmpty ? [$0.flag] : [$0.flag, $0.value] } + arguments
  }

  private static func named(in arguments: [String]) -> Recipe? {
    for (index, argument) in arguments.enumerated() {
      if argument == "--recipe", index + 1 < arguments.count { return Recipe(rawValue: arguments[index + 1]) }
      if argument.hasPrefix("--recipe=") { return Recipe(rawValue: String(argument.dropFirst("--recipe=".count))) }
    }
    return nil
  }
}

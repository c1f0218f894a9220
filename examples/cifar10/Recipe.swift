import ArgumentParser

/// Sets of flags for a purpose, by name.
enum Recipe: String, ExpressibleByArgument, CaseIterable {
  /// A good accuracy in the least time on a few cores.
  case fast

  /// The flags. What the user gives besides comes behind them, and counts.
  var arguments: [String] {
    switch self {
    case .fast:
      """
      --model whitened --batch-size 128 --epochs 8 --optimizer sgd-schedulefree --learning-rate 4 --weight-decay 0.001
      --warmup-steps 200 --label-smoothing 0.2 --crop-padding 2 --padding reflect --flip alternating
      --evaluate-mirrored
      """.split(whereSeparator: \.isWhitespace).map(String.init)
    }
  }

  /// The recipe's flags in front of the given arguments, which may name one.
  static func expanded(_ arguments: [String]) throws -> [String] {
    for (index, argument) in arguments.enumerated() {
      var name: String?
      if argument == "--recipe" { name = index + 1 < arguments.count ? arguments[index + 1] : nil }
      if argument.hasPrefix("--recipe=") { name = String(argument.dropFirst("--recipe=".count)) }
      guard let recipe = name.flatMap(Recipe.init) else { continue }
      var flags = recipe.arguments
      // A length in steps takes the place of the recipe's own in epochs.
      if arguments.contains(where: { $0 == "--steps" || $0.hasPrefix("--steps=") }),
        let epochs = flags.firstIndex(of: "--epochs")
      {
        flags.removeSubrange(epochs...(epochs + 1))
      }
      return flags + arguments
    }
    return arguments
  }
}

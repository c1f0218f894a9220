/// What ranks tell each other of a step besides numbers: a vote of one is a vote of all.
struct StepVotes: Equatable {
  /// Training is to stop after this step.
  var stop = false
  /// A loss, or a parameter that was updated, is not a finite number.
  var nonFinite = false

  /// As the lowest two bits of an integer.
  var bits: Int { (stop ? 1 : 0) + (nonFinite ? 2 : 0) }

  init(stop: Bool = false, nonFinite: Bool = false) {
    self.stop = stop
    self.nonFinite = nonFinite
  }

  init(bits: Int) {
    stop = bits & 1 != 0
    nonFinite = bits & 2 != 0
  }

  /// Adds the votes of others.
  mutating func formUnion(_ others: StepVotes) {
    stop = stop || others.stop
    nonFinite = nonFinite || others.nonFinite
  }

  // In shared memory votes are kept together with their step, counted from 0, in one integer that only grows.

  /// The least of the integers that hold votes in `step`.
  static func floor(_ step: Int) -> Int { 4 * (step + 1) }

  /// The integer for these votes in `step`.
  func stored(in step: Int) -> Int { Self.floor(step) + bits }

  /// The votes in `step` that an integer holds; none if it is of another step.
  init(stored: Int, in step: Int) { self.init(bits: stored / 4 == step + 1 ? stored : 0) }
}

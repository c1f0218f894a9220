import DataParallel
import MPI
import ProbeSupport
import ScheduleFree

/// What is not a finite number on the last rank alone is known on all ranks, in the same step on each.
func checkReported(_ world: Communicator) throws {
  let isLast = world.rank == world.size - 1
  for kind in ExchangeKind.allCases {
    let optimizer = try makeOptimizer(cases[3], rules[0], kind, world)
    func step(_ index: Int, gradient: Float? = nil, loss: Double = 1) throws -> Bool {
      fillGradients(optimizer, step: index, rank: world.rank)
      if let gradient, isLast { optimizer.gradients[777] = gradient }
      return try optimizer.finishStep(stopRequested: false, loss: isLast ? loss : 1).isNonFinite
    }
    for index in 0..<3 { try require(try !step(index), "\(kind): step \(index) is reported") }
    for loss in [Double.nan, .infinity, -.infinity] {
      try require(try step(3, loss: loss), "\(kind): a loss of \(loss) is not reported")
    }
    try require(try !step(4), "\(kind): a loss is reported once too often")
    // Only the shared exchange of one node votes behind the update.
    let atOnce = try step(5, gradient: .nan)
    try require(
      atOnce == (optimizer.exchangeLabel == "shared"), "\(kind): a gradient is reported at once: \(atOnce)")
    try require(try step(6), "\(kind): parameters that are not finite are not reported")
    try optimizer.close()
  }
}

/// A step with something that is not finite is skipped on all ranks, for the same reason, and leaves nothing behind.
func checkSkipped(_ world: Communicator) throws {
  let isLast = world.rank == world.size - 1
  let plus = try OptimizerRegistry.makeRule(named: "schedulefree-plus")
  for kind in ExchangeKind.allCases {
    for (rule, clipNorm) in [(rules[0], nil), (rules[1], 0.5), (plus, nil), (plus, 0.5)] as [(any UpdateRule, Double?)]
    {
      let what = "\(kind), \(rule.name)\(clipNorm == nil ? "" : ", clipped")"
      func make(_ nonFinite: NonFiniteSteps) throws -> ShardedOptimizer {
        try makeOptimizer(cases[3], rule, kind, world, clipNorm: clipNorm, nonFinite: nonFinite)
      }
      let (optimizer, other) = (try make(.skipped), try make(.reported))
      func step(
        _ optimizer: ShardedOptimizer, _ index: Int, gradient: Float? = nil, loss: Double = 1, stop: Bool = false
      ) throws -> StepOutcome {
        fillGradients(optimizer, step: index, rank: world.rank)
        if let gradient, isLast { optimizer.gradients[777] = gradient }
        return try optimizer.finishStep(stopRequested: stop && isLast, loss: isLast ? loss : 1)
      }
      func same(_ when: String) throws {
        try require(
          parameters(optimizer).map(\.bitPattern) == parameters(other).map(\.bitPattern), "\(what): \(when) y differs")
        for slot in rule.stateSlots.indices {
          let (a, b) = (try optimizer.gatherState(slot: slot), try other.gatherState(slot: slot))
          guard let a, let b else { continue }
          try require(
            (0..<a.count).allSatisfy { a.pointer[$0].bitPattern == b.pointer[$0].bitPattern },
            "\(what): \(when) \(rule.stateSlots[slot].name) differs")
        }
        try require(optimizer.counters == other.counters, "\(what): \(when) the counters differ")
      }
      for index in 0..<2 {
        let outcome = try step(optimizer, index)
        try require(outcome.skipped == nil && outcome.gradientNorm != nil, "\(what): step \(index) is skipped")
        _ = try step(other, index)
      }
      try same("before any skip")
      for gradient in [Float.nan, .infinity] {
        let outcome = try step(optimizer, 2, gradient: gradient, stop: true)
        guard case .nonFiniteGradient = outcome.skipped else {
          throw Failure(description: "\(what): a gradient of \(gradient) is skipped as \(outcome)")
        }
        try require(outcome.stop && !outcome.isNonFinite, "\(what): the outcome of a skipped step is \(outcome)")
      }
      let outcome = try step(optimizer, 2, loss: .nan)
      guard case .nonFiniteLoss = outcome.skipped else {
        throw Failure(description: "\(what): a loss that is not a number is skipped as \(outcome)")
      }
      try require(!outcome.stop, "\(what): a stop is remembered")
      try same("after three skips")
      for index in 2..<5 {
        try require(try step(optimizer, index).skipped == nil, "\(what): step \(index) is skipped")
        _ = try step(other, index)
      }
      try same("three steps later")
      try optimizer.close()
      try other.close()
    }
  }
}

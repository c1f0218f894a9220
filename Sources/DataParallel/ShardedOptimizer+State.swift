import MPI
import ScheduleFree

// Parameters and state outside the step: their start, evaluation, and what checkpoints save.

extension ShardedOptimizer {
  /// Fills the parameters once before training: `fill` is called with the arena on one rank per arena (every rank of
  /// a private arena, one rank of a shared one) and must write the same values on each.
  public func initializeParameters(_ fill: (UnsafeMutablePointer<Float>) throws -> Void) throws {
    try awaitExchange()
    if exchange.fillsParameters {
      try communicator.agree(on: "initial parameters") { try fill(exchange.parameters) }
    } else {
      try communicator.agree(on: "initial parameters") {}
    }
    try communicator.barrier()
    try adoptParameters()
  }

  /// Starts the state from the parameters in the arena: z and x (or a method's own copy) become them, moments become
  /// zero.
  public func adoptParameters() throws {
    try awaitExchange()
    for (slot, array) in zip(rule.stateSlots, state) {
      for (slice, offset) in zip(shard.slices, shard.offsets) {
        switch slot.initial {
        case .parameters:
          (array.pointer + offset).update(from: exchange.parameters + slice.lowerBound, count: slice.count)
        case .zeros:
          (array.pointer + offset).update(repeating: 0, count: slice.count)
        }
      }
    }
    try restoreGradientPoint()
  }

  /// Writes the evaluation point (x of a schedule-free method) into the parameter arena of every rank.
  /// ``restoreGradientPoint()`` must follow before the next step.
  public func writeEvaluationPoint() throws {
    let source = state[rule.evaluationSlot]
    try exchange.shareParameters(.evaluation) {
      for (slice, offset) in zip(shard.slices, shard.offsets) {
        (exchange.parameters + slice.lowerBound).update(from: source.pointer + offset, count: slice.count)
      }
    }
  }

  /// Writes y, computed from the state, into the parameter arena of every rank: the same bits that the last step wrote.
  public func restoreGradientPoint() throws {
    try exchange.shareParameters(.gradient) { update.writeGradientPoint() }
  }

  /// Gathers one state array on rank `root`, in arena order.
  ///
  /// - Returns: `layout.elementCount` floats on `root`, nil elsewhere.
  public func gatherState(slot: Int, root: Int = 0) throws -> AlignedBuffer? {
    try awaitExchange()
    let shards = (0..<communicator.size).map { layout.shard(rank: $0, of: communicator.size) }
    let counts = shards.map(\.count)
    var offsets: [Int] = []
    var total = 0
    for count in counts {
      offsets.append(total)
      total += count
    }
    let isRoot = communicator.rank == root
    let gathered = isRoot ? try AlignedBuffer(count: total, for: "gathered state") : nil
    try communicator.gather(
      send: UnsafePointer(state[slot].pointer), count: shard.count, receive: gathered?.pointer, counts: counts,
      offsets: offsets, root: root)
    guard let gathered else { return nil }
    let arena = try AlignedBuffer(count: layout.elementCount, for: "gathered state")
    for (rank, shard) in shards.enumerated() {
      for (slice, offset) in zip(shard.slices, shard.offsets) {
        (arena.pointer + slice.lowerBound).update(
          from: gathered.pointer + offsets[rank] + offset, count: slice.count)
      }
    }
    return arena
  }

  /// The scalars to save beside the state arrays.
  public var counters: OptimizerCounters {
    OptimizerCounters(step: step, groups: (0..<groupCount).map { rules[$0].counters })
  }

  /// Takes over a saved state: `arenas` holds, for each slot of the rules, all `layout.elementCount` floats in arena
  /// order, the same on every rank. Then y is derived from it.
  ///
  /// - Throws: ``DataParallelError/wrongElementCount(what:expected:found:)``;
  ///   ``DataParallelError/otherGroups(_:)`` and `RuleCountersError`, with all rules as they were; `MPIError`.
  public func restore(counters: OptimizerCounters, arenas: [AlignedBuffer]) throws {
    guard arenas.count == state.count else {
      throw DataParallelError.wrongElementCount(what: "the saved state", expected: state.count, found: arenas.count)
    }
    for arena in arenas where arena.count != layout.elementCount {
      throw DataParallelError.wrongElementCount(
        what: "a saved state array", expected: layout.elementCount, found: arena.count)
    }
    try awaitExchange()
    try restore(counters)
    for (arena, array) in zip(arenas, state) {
      for (slice, offset) in zip(shard.slices, shard.offsets) {
        (array.pointer + offset).update(from: arena.pointer + slice.lowerBound, count: slice.count)
      }
    }
    try restoreGradientPoint()
  }

  private func restore(_ counters: OptimizerCounters) throws {
    guard counters.groups.count == groupCount else {
      throw DataParallelError.otherGroups("they are of \(counters.groups.count) groups; expected \(groupCount)")
    }
    guard counters.step >= 0 else {
      throw DataParallelError.otherGroups("they are of step \(counters.step); expected 0 or more")
    }
    var restored: [any UpdateRule] = []
    for (index, saved) in counters.groups.enumerated() {
      let expected = max(counters.step - joinsAfter[index], 0)
      guard saved.step == expected else {
        throw DataParallelError.otherGroups(
          "after step \(counters.step) group \(index) is at step \(saved.step) of its own; expected \(expected), "
            + "because it joins after \(joinsAfter[index])")
      }
      var rule = rules[index]
      try rule.restore(saved)
      restored.append(rule)
    }
    for (index, rule) in restored.enumerated() { rules[index] = rule }
    step = counters.step
  }
}

import DataParallel
import Foundation
import MPI
import ProbeSupport
import RuleSupport
import ScheduleFree

/// Divides an arena among three groups in pieces of uneven length that respect neither buckets nor slices.
private func divide(_ count: Int) -> [[Range<Int>]] {
  var groups: [[Range<Int>]] = [[], [], []]
  var (start, piece) = (0, 0)
  while start < count {
    let end = min(start + [7, 1, 30, 13, 64][piece % 5], count)
    groups[piece % 3].append(start..<end)
    (start, piece) = (end, piece + 1)
  }
  // In an order that is not theirs, with one that is empty.
  return groups.map { [0..<0] + $0.reversed() }
}

/// The third group joins after this many steps.
private let joinsAfter = 2

private func makeGroups(_ count: Int) throws -> [ParameterGroup] {
  let ranges = divide(count)
  return [
    ParameterGroup(rule: try AdamWScheduleFree(.init(weightDecay: 0.01)), ranges: ranges[0]),
    ParameterGroup(rule: try AdamWScheduleFree(.init(learningRate: 0.1, warmupSteps: 3)), ranges: ranges[1]),
    ParameterGroup(rule: try AdamWScheduleFree(.init(beta1: 0.8)), ranges: ranges[2], joinsAfter: joinsAfter),
  ]
}

private func makeOptimizer(
  _ test: Case, _ groups: [ParameterGroup], _ kind: ExchangeKind, _ world: Communicator, clipNorm: Double? = nil
) throws -> ShardedOptimizer {
  let optimizer = try ShardedOptimizer(
    communicator: world, layout: test.layout(), groups: groups, exchange: kind, between: between, clipNorm: clipNorm)
  try optimizer.initializeParameters { arena in for index in 0..<test.count { arena[index] = noise(0, 0, index) } }
  return optimizer
}

/// Each group is updated as if it were alone, from the step on in which it joins; saved counters continue with the same
/// bits, before and after that step.
func checkGroups(_ world: Communicator) throws {
  for test in [cases[0], cases[2], cases[3]] {
    let groups = try makeGroups(test.count)
    for kind in ExchangeKind.allCases {
      let optimizer = try makeOptimizer(test, groups, kind, world)
      let serial = groups.map { Serial($0.rule, count: test.count) }
      var saved: [(counters: Data, arenas: [AlignedBuffer])] = []
      var trace: [[Float]] = []
      for step in 0..<5 {
        let arenas = try optimizer.rule.stateSlots.indices.map {
          try everywhere(optimizer.gatherState(slot: $0), count: test.count, world)
        }
        saved.append((try JSONEncoder().encode(optimizer.counters), arenas))
        let all = (0..<world.size).map { rank in (0..<test.count).map { gradient(step: step, rank: rank, index: $0) } }
        fillGradients(optimizer, step: step, rank: world.rank)
        _ = try optimizer.finishStep(stopRequested: false)
        let y = parameters(optimizer)
        trace.append(y)
        for (index, group) in groups.enumerated() {
          if step >= group.joinsAfter { serial[index].step(all) }
          for element in group.ranges.joined() {
            let expected = serial[index].y[element]
            let isClose = kind == .allreduce && world.size > 2 && abs(y[element] - expected) <= 2e-3
            try require(
              y[element].bitPattern == expected.bitPattern || isClose,
              "\(kind) \(test.sizes) group \(index) step \(step) rank \(world.rank) of \(world.size): "
                + "\(y[element]), expected \(expected)")
          }
        }
      }
      for start in test.count == 49 ? [0, 1, joinsAfter, joinsAfter + 1] : [joinsAfter - 1] {
        let resumed = try makeOptimizer(test, groups, kind, world)
        try resumed.restore(
          counters: JSONDecoder().decode(OptimizerCounters.self, from: saved[start].counters),
          arenas: saved[start].arenas)
        try require(resumed.step == start, "resumed at step \(resumed.step), expected \(start)")
        for step in start..<5 {
          fillGradients(resumed, step: step, rank: world.rank)
          _ = try resumed.finishStep(stopRequested: false)
          try require(
            parameters(resumed).map(\.bitPattern) == trace[step].map(\.bitPattern),
            "\(kind) \(test.sizes): resumed at step \(start), other bits after step \(step)")
        }
        try resumed.close()
      }
      try optimizer.close()
    }
    for kind in [ExchangeKind.shared, .flat] { try checkSharedTotals(test, kind, world) }
    try checkPolyakTotals(test, world)
  }
  try checkRefusedCounters(world)
}

/// Totals are over all groups: divided among groups with equal rules, parameters go the way of undivided ones; and a
/// group that has not joined counts as one without gradients, in sums and in the norm.
private func checkSharedTotals(_ test: Case, _ kind: ExchangeKind, _ world: Communicator) throws {
  let ranges = divide(test.count)
  func groups(_ joinsAfter: Int) -> [ParameterGroup] {
    ranges.enumerated().map { index, ranges in
      ParameterGroup(rule: NormalizedDescent(), ranges: ranges, joinsAfter: index == 2 ? joinsAfter : 0)
    }
  }
  func run(_ groups: [ParameterGroup], clipNorm: Double?, silent: [Range<Int>] = []) throws -> [UInt32] {
    let optimizer = try makeOptimizer(test, groups, kind, world, clipNorm: clipNorm)
    for step in 0..<3 {
      fillGradients(optimizer, step: step, rank: world.rank)
      for element in silent.joined() { optimizer.gradients[element] = 0 }
      _ = try optimizer.finishStep(stopRequested: false, loss: 1)
    }
    defer { _ = try? optimizer.close() }
    return parameters(optimizer).map(\.bitPattern)
  }
  let whole = [ParameterGroup(rule: NormalizedDescent(), ranges: [0..<test.count])]
  try require(
    try run(groups(0), clipNorm: nil) == run(whole, clipNorm: nil), "\(kind) \(test.sizes): groups change the totals")
  for clipNorm in [nil, 0.25] as [Double?] {
    // Without gradients at all there is nothing to divide by.
    guard ranges[0].count + ranges[1].count > 2 else { continue }
    try require(
      try run(groups(100), clipNorm: clipNorm) == run(groups(0), clipNorm: clipNorm, silent: ranges[2]),
      "\(kind) \(test.sizes): a group that has not joined counts in the totals")
  }
}

/// ScheduleFree+, whose every element depends on its sums, over groups: the same bits through shared and flat exchange,
/// and up to the rounding of sums those of undivided parameters.
private func checkPolyakTotals(_ test: Case, _ world: Communicator) throws {
  func run(_ ranges: [[Range<Int>]], _ kind: ExchangeKind, clipNorm: Double?) throws -> [Float] {
    let groups = try ranges.map { ParameterGroup(rule: try ScheduleFreePlus(), ranges: $0) }
    let optimizer = try makeOptimizer(test, groups, kind, world, clipNorm: clipNorm)
    for step in 0..<3 {
      fillGradients(optimizer, step: step, rank: world.rank)
      _ = try optimizer.finishStep(stopRequested: false, loss: 1)
    }
    let y = parameters(optimizer)
    try optimizer.close()
    return y
  }
  for clipNorm in [nil, 0.25] as [Double?] {
    let where_ = "schedulefree-plus \(test.sizes) clip \(clipNorm ?? 0) rank \(world.rank) of \(world.size)"
    let divided = try run(divide(test.count), .shared, clipNorm: clipNorm)
    let flat = try run(divide(test.count), .flat, clipNorm: clipNorm)
    try require(divided.map(\.bitPattern) == flat.map(\.bitPattern), "\(where_): shared and flat have other bits")
    try require(divided.indices.contains { divided[$0] != noise(0, 0, $0) }, "\(where_): nothing has moved")
    let whole = try run([[0..<test.count]], .shared, clipNorm: clipNorm)
    for (a, b) in zip(divided, whole) {
      try require(abs(a - b) <= 1e-5 * max(abs(b), 1), "\(where_): \(a) in groups, \(b) undivided")
    }
  }
}

/// Counters of other groups are refused and change nothing.
private func checkRefusedCounters(_ world: Communicator) throws {
  let test = cases[3]
  let optimizer = try makeOptimizer(test, makeGroups(test.count), .flat, world)
  let arenas = try optimizer.rule.stateSlots.map { try AlignedBuffer(count: test.count, for: $0.name) }
  let good = optimizer.counters
  var few = good
  few.groups.removeLast()
  var shifted = good
  shifted.step = 1
  var negative = good
  negative.step = -1
  for bad in [few, shifted, negative] {
    do {
      try optimizer.restore(counters: bad, arenas: arenas)
      throw Failure(description: "counters of other groups were accepted: \(bad)")
    } catch DataParallelError.otherGroups(let reason) {
      try require(!reason.isEmpty && optimizer.counters == good, "refused counters left traces")
    }
  }
}

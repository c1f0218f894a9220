// Checks the sharded step on however many ranks it is started with, and exits non-zero with a message where something
// is wrong.
//
//   exchange-probe agreement|clipping|state|stop|fingerprint|sums|groups|nonfinite|wire|overlap|tuning [halving] [after-backward]
//
// With FREEWHEEL_PRETENDED_NODES the ranks pretend to be on several nodes, and "shared" is the exchange in two levels.

import DataParallel
import Foundation
import MPI
import ProbeSupport
import ScheduleFree

let rules: [any UpdateRule] = try [
  AdamWScheduleFree(.init(weightDecay: 0.01)), SGDScheduleFree(.init(learningRate: 0.1, warmupSteps: 3)), AdamW(),
  SGD(.init(learningRate: 0.1, momentum: 0.9)),
]

/// Shared and flat give the serial run's bits for y and all state; all-reduce comes close.
func checkAgreement(_ world: Communicator, clipNorm: Double? = nil) throws {
  for test in cases {
    for rule in rules {
      for kind in ExchangeKind.allCases {
        let serial = Serial(rule, count: test.count)
        let optimizer = try makeOptimizer(test, rule, kind, world, clipNorm: clipNorm)
        for step in 0..<5 {
          let all = (0..<world.size).map { rank in (0..<test.count).map { gradient(step: step, rank: rank, index: $0) }
          }
          fillGradients(optimizer, step: step, rank: world.rank)
          // Announced piece by piece, as backward does.
          optimizer.announce(finishedFrom: test.count / 2)
          let outcome = try optimizer.finishStep(stopRequested: false)
          var scale: Float = 1
          if let clipNorm {
            guard let norm = outcome.gradientNorm else { throw Failure(description: "no gradient norm") }
            let sums = (0..<test.count).map { index in all.reduce(0.0) { $0 + Double($1[index]) } }
            let expected = sums.reduce(0) { $0 + $1 * $1 }.squareRoot()
            try require(abs(norm - expected) <= 1e-6 * expected, "norm \(norm), expected \(expected)")
            scale = norm > clipNorm ? Float(clipNorm / norm) : 1
          }
          serial.step(all, scale: scale)
          let y = parameters(optimizer)
          let where_ = "\(kind) \(rule.name) \(test.sizes) step \(step) rank \(world.rank) of \(world.size)"
          if kind == .allreduce && world.size > 2 {
            for (a, b) in zip(y, serial.y) { try require(abs(a - b) <= 2e-3, "\(where_): y is \(a), expected \(b)") }
          } else {
            try require(y.map(\.bitPattern) == serial.y.map(\.bitPattern), "\(where_): y has other bits")
          }
        }
        guard kind != .allreduce else { continue }
        for slot in rule.stateSlots.indices {
          let gathered = try optimizer.gatherState(slot: slot)
          try require((gathered != nil) == (world.rank == 0), "state gathered on the wrong rank")
          guard let gathered else { continue }
          let values = Array(UnsafeBufferPointer(start: gathered.pointer, count: gathered.count))
          try require(
            values.map(\.bitPattern) == serial.state[slot].map(\.bitPattern),
            "\(kind) \(rule.name) \(test.sizes): state \(rule.stateSlots[slot].name) has other bits")
        }
      }
    }
  }
}

/// An evaluation shows x to every rank and leaves y as it was; saved state continues with the same bits.
func checkState(_ world: Communicator) throws {
  for test in cases {
    for rule in rules {
      for kind in ExchangeKind.allCases {
        let optimizer = try makeOptimizer(test, rule, kind, world)
        func advance(_ optimizer: ShardedOptimizer, _ steps: Range<Int>) throws {
          for step in steps {
            fillGradients(optimizer, step: step, rank: world.rank)
            _ = try optimizer.finishStep(stopRequested: false)
          }
        }
        try advance(optimizer, 0..<3)
        let before = parameters(optimizer)
        let x = try everywhere(optimizer.gatherState(slot: rule.evaluationSlot), count: test.count, world)
        try optimizer.writeEvaluationPoint()
        try require(
          parameters(optimizer) == Array(UnsafeBufferPointer(start: x.pointer, count: x.count)),
          "\(kind) \(rule.name) \(test.sizes): evaluation does not see x")
        try optimizer.restoreGradientPoint()
        try require(
          parameters(optimizer).map(\.bitPattern) == before.map(\.bitPattern),
          "\(kind) \(rule.name) \(test.sizes): evaluation changed y")

        let counters = optimizer.counters
        let arenas = try rule.stateSlots.indices.map {
          try everywhere(optimizer.gatherState(slot: $0), count: test.count, world)
        }
        try advance(optimizer, 3..<6)
        let resumed = try makeOptimizer(test, rule, kind, world)
        try resumed.restore(counters: counters, arenas: arenas)
        try advance(resumed, 3..<6)
        try require(
          parameters(optimizer).map(\.bitPattern) == parameters(resumed).map(\.bitPattern),
          "\(kind) \(rule.name) \(test.sizes): resumed run has other bits")
      }
    }
  }
}

/// A wish of one rank stops all ranks in the same step, and only then.
func checkStop(_ world: Communicator) throws {
  for kind in ExchangeKind.allCases {
    let optimizer = try makeOptimizer(cases[3], rules[0], kind, world)
    for step in 0..<8 {
      let outcome = try optimizer.finishStep(stopRequested: step == 5 && world.rank == world.size - 1)
      try require(outcome.stop == (step == 5), "\(kind): stop is \(outcome.stop) in step \(step)")
    }
    // Asked for in every step, it is seen in every step, however far ranks are apart.
    for step in 0..<(optimizer.exchangeLabel.contains("two-level") ? 300 : 2000) {
      let outcome = try optimizer.finishStep(stopRequested: world.rank == world.size - 1)
      try require(outcome.stop, "\(kind): stop is not seen in step \(step)")
    }
    try optimizer.close()
  }
}

/// One rank with another setting is found on every rank.
func checkFingerprint(_ world: Communicator) throws {
  var fingerprint = Fingerprint()
  fingerprint.add("seed", 1)
  fingerprint.add("batch-size", 64)
  try fingerprint.verify(over: world)
  var other = Fingerprint()
  other.add("seed", 1)
  other.add("batch-size", world.rank == world.size - 1 ? 63 : 64)
  do {
    try other.verify(over: world)
    try require(world.size == 1, "unequal settings were not noticed on rank \(world.rank)")
  } catch let error as DataParallelError {
    let expected = DataParallelError.ranksDisagree(rank: world.size - 1, setting: "batch-size", here: "64", there: "63")
    try require(error == expected, "unexpected error: \(error)")
  }
}

/// A gradient that is not finite is refused on all ranks alike where its norm is needed.
func checkNonFinite(_ world: Communicator) throws {
  for kind in ExchangeKind.allCases {
    let optimizer = try makeOptimizer(cases[3], rules[0], kind, world, clipNorm: 1)
    fillGradients(optimizer, step: 0, rank: world.rank)
    if world.rank == world.size - 1 { optimizer.gradients[5] = .infinity }
    do {
      _ = try optimizer.finishStep(stopRequested: false)
      throw Failure(description: "\(kind): an infinite gradient went through")
    } catch DataParallelError.nonFiniteGradient {}
    // The step left no trace: the next one is the first of another optimizer, bit for bit.
    let other = try makeOptimizer(cases[3], rules[0], kind, world, clipNorm: 1)
    for each in [optimizer, other] {
      fillGradients(each, step: 1, rank: world.rank)
      _ = try each.finishStep(stopRequested: false)
    }
    try require(
      parameters(optimizer).map(\.bitPattern) == parameters(other).map(\.bitPattern),
      "\(kind): a refused step left traces")
    try optimizer.close()
    try other.close()
  }
}

MPIProgram.run { world in
  switch CommandLine.arguments.dropFirst().first {
  case "agreement": try checkAgreement(world)
  case "clipping":
    try checkAgreement(world, clipNorm: 0.5)
    try checkNonFinite(world)
  case "state": try checkState(world)
  case "stop": try checkStop(world)
  case "sums":
    try checkSums(world)
    try checkWideSums(world)
  case "groups": try checkGroups(world)
  case "nonfinite":
    try checkReported(world)
    try checkSkipped(world)
  case "wire": try checkWire(world)
  case "overlap": try checkOverlap(world)
  case "tuning": try checkTuning(world)
  case "fingerprint": try checkFingerprint(world)
  default:
    throw Failure(
      description: "usage: exchange-probe agreement|clipping|state|stop|fingerprint|sums|groups|nonfinite|wire|overlap|tuning")
  }
  if world.rank == 0 { print("ok on \(world.size) ranks") }
  return 0
}

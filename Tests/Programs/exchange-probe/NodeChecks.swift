import DataParallel
import Foundation
import MPI
import ProbeSupport
import ScheduleFree

/// To the nearest bfloat16, of two equally near to the even one; by another way than the kernels'.
private func rounded(_ value: Float) -> Float {
  let upper = Float(bitPattern: value.bitPattern & 0xFFFF_0000)
  let next = Float(bitPattern: (value.bitPattern & 0xFFFF_0000) &+ 0x1_0000)
  let (down, up) = (abs(Double(value) - Double(upper)), abs(Double(next) - Double(value)))
  if down != up { return down < up ? upper : next }
  return upper.bitPattern & 0x1_0000 == 0 ? upper : next
}

/// With bfloat16 between nodes, pieces of other nodes and y are rounded, nothing else is, and all ranks have the same y.
func checkWire(_ world: Communicator) throws {
  let node = try world.splitByNode()
  let (localCount, nodeCount) = (node.size, world.size / node.size)
  var options = between
  options.wire = .bfloat16
  for test in cases {
    for rule in rules {
      for clipNorm in [nil, 0.5] as [Double?] {
        let layout = try test.layout()
        let optimizer = try ShardedOptimizer(
          communicator: world, layout: layout, rule: rule, between: options, clipNorm: clipNorm)
        try require(
          nodeCount == 1 || optimizer.exchangeLabel.contains("bfloat16"), "the exchange is \(optimizer.exchangeLabel)")
        try optimizer.initializeParameters { arena in
          for index in 0..<test.count { arena[index] = noise(0, 0, index) }
        }
        // Which node owns each element.
        var owner = [Int](repeating: 0, count: test.count)
        for bucket in layout.buckets.indices {
          for rank in 0..<world.size {
            for index in layout.slice(bucket: bucket, rank: rank, of: world.size) { owner[index] = rank / localCount }
          }
        }
        let serial = Serial(rule, count: test.count)
        for step in 0..<4 {
          fillGradients(optimizer, step: step, rank: world.rank)
          optimizer.announce(finishedFrom: test.count / 2)
          let outcome = try optimizer.finishStep(stopRequested: false)
          let scale = outcome.gradientNorm.map { $0 > 0.5 ? Float(0.5 / $0) : 1 } ?? 1
          let pieces = (0..<nodeCount).map { node in
            (0..<test.count).map { index -> Float in
              let own = (0..<localCount).map { gradient(step: step, rank: node * localCount + $0, index: index) }
              let sum = treeSum(own)
              return nodeCount > 1 && owner[index] != node ? rounded(sum) : sum
            }
          }
          serial.step(pieces, scale: scale)
          if nodeCount > 1 { for index in 0..<test.count { serial.y[index] = rounded(serial.y[index]) } }
          let y = parameters(optimizer)
          try require(
            y.map(\.bitPattern) == serial.y.map(\.bitPattern),
            "\(rule.name) \(test.sizes) clip \(clipNorm ?? 0) step \(step) rank \(world.rank): y has other bits")
        }
        // An evaluation sees x as it is, and leaves the rounded y as it was.
        let before = parameters(optimizer)
        try optimizer.writeEvaluationPoint()
        let x = try everywhere(optimizer.gatherState(slot: rule.evaluationSlot), count: test.count, world)
        try require(
          parameters(optimizer) == Array(UnsafeBufferPointer(start: x.pointer, count: x.count)),
          "\(rule.name) \(test.sizes): evaluation does not see x")
        try optimizer.restoreGradientPoint()
        try require(
          parameters(optimizer).map(\.bitPattern) == before.map(\.bitPattern),
          "\(rule.name) \(test.sizes): evaluation changed y")
        try optimizer.close()
      }
    }
  }
}

private func treeSum(_ values: [Float]) -> Float {
  guard values.count > 1 else { return values[0] }
  let middle = treeSplit(values.count)
  return treeSum(Array(values[..<middle])) + treeSum(Array(values[middle...]))
}

/// Without waiting at the end of a step, parameters asked for piece by piece are those of the step, however late some
/// ranks are, and gradients may be written again after ``ShardedOptimizer/awaitExchange()``.
func checkOverlap(_ world: Communicator) throws {
  for test in cases {
    for clipNorm in [nil, 0.5] as [Double?] {
      let serial = Serial(rules[0], count: test.count)
      let optimizer = try makeOptimizer(test, rules[0], .shared, world, clipNorm: clipNorm)
      let offsets = test.sizes.reduce(into: [0]) { $0.append($0[$0.count - 1] + $1) }
      for step in 0..<12 {
        // Forward: first layer first.
        var seen: [UInt32] = []
        for (start, end) in zip(offsets, offsets.dropFirst()) {
          try optimizer.awaitParameters(upTo: end)
          seen += (start..<end).map { optimizer.parameters[$0].bitPattern }
        }
        try require(
          seen == serial.y.map(\.bitPattern),
          "\(test.sizes) clip \(clipNorm ?? 0): rank \(world.rank) sees other parameters in step \(step)")
        try optimizer.awaitExchange()
        let all = (0..<world.size).map { rank in (0..<test.count).map { gradient(step: step, rank: rank, index: $0) } }
        // Backward: last layer first, and each rank is late in its turn.
        for (start, end) in zip(offsets, offsets.dropFirst()).reversed() {
          if (step + start) % world.size == world.rank { usleep(3000) }
          for index in start..<end { optimizer.gradients[index] = all[world.rank][index] }
          optimizer.announce(finishedFrom: start)
        }
        let outcome = try optimizer.finishStep(
          stopRequested: step == 7 && world.rank == 0, awaitsParameters: false)
        try require(outcome.stop == (step == 7), "stop is \(outcome.stop) in step \(step)")
        let scale = outcome.gradientNorm.map { $0 > 0.5 ? Float(0.5 / $0) : 1 } ?? 1
        serial.step(all, scale: scale)
      }
      // What is on its way is waited for by what needs it.
      let gathered = try optimizer.gatherState(slot: 0)
      if let gathered {
        try require(
          (0..<test.count).allSatisfy { gathered.pointer[$0].bitPattern == serial.state[0][$0].bitPattern },
          "\(test.sizes): state has other bits")
      }
      try optimizer.close()
    }
  }
}

/// All ranks choose the same, what is given is kept, and what was saved is repeated.
func checkTuning(_ world: Communicator) throws {
  let node = try world.splitByNode()
  let nodeCount = world.size / node.size
  let sizes = (0..<40).map { 20_011 + 1_000 * $0 }
  let offsets = sizes.reduce(into: [0]) { $0.append($0[$0.count - 1] + $1) }
  var tuner = ExchangeTuner(
    elementCount: offsets[sizes.count], tensorOffsets: Array(offsets.dropLast()), options: between)
  let (chosen, isMeasured) = try tuner.choose(on: world)
  try require(isMeasured == (nodeCount > 1), "measured: \(isMeasured) on \(nodeCount) nodes")
  try require(chosen.nodes == nodeCount, "chosen for \(chosen.nodes) nodes, not \(nodeCount)")
  let all = try world.allGather("\(chosen)")
  try require(Set(all).count == 1, "ranks chose differently: \(all)")
  if nodeCount == 1 { try require(chosen.bucketCount == BucketLayout.defaultTargetCount, "\(chosen) on one node") }
  var saved = chosen
  saved.bucketCount = 12_345
  saved.algorithm = .halving
  tuner.saved = saved
  let (repeated, again) = try tuner.choose(on: world)
  try require(!again && repeated.bucketCount == 12_345, "saved \(saved), went on with \(repeated)")
  if nodeCount > 1 { try require(repeated == saved, "saved \(saved), went on with \(repeated)") }
  tuner.bucketCount = 4_321
  tuner.algorithm = .direct
  let given = try tuner.choose(on: world).tuning
  try require(given.bucketCount == 4_321 && given.algorithm == .direct, "given sizes are not kept: \(given)")
}

import DataParallel
import MPI
import ProbeSupport
import RuleSupport
import ScheduleFree

/// The part of the loss that a rank hands in.
private func loss(step: Int, rank: Int) -> Double { Double(noise(step + 1, rank + 1, -1)) + 2 }

/// Steps of a rule with global sums on one rank's memory: sums are taken over each rank's shard, then in rank order.
private final class SerialSums {
  var rule = NormalizedDescent()
  private let layout: BucketLayout
  private let y: UnsafeMutablePointer<Float>
  private let state: UnsafeMutablePointer<UnsafeMutablePointer<Float>>

  init(_ layout: BucketLayout) {
    let count = layout.elementCount
    self.layout = layout
    func array(_ value: (Int) -> Float) -> UnsafeMutablePointer<Float> {
      let pointer = UnsafeMutablePointer<Float>.allocate(capacity: count)
      for index in 0..<count { (pointer + index).initialize(to: value(index)) }
      return pointer
    }
    y = array { noise(0, 0, $0) }
    state = .allocate(capacity: 2)
    state[0] = array { noise(0, 0, $0) }
    state[1] = array { _ in 0 }
  }

  deinit {
    y.deallocate()
    state[0].deallocate()
    state[1].deallocate()
    state.deallocate()
  }

  var values: [UInt32] { [y, state[1]].flatMap { array in (0..<layout.elementCount).map { array[$0].bitPattern } } }

  func step(_ step: Int, ranks: Int, scale: Float) {
    let count = layout.elementCount
    let gradients = UnsafeMutablePointer<UnsafePointer<Float>>.allocate(capacity: ranks)
    for rank in 0..<ranks {
      let own = UnsafeMutablePointer<Float>.allocate(capacity: count)
      for index in 0..<count { (own + index).initialize(to: gradient(step: step, rank: rank, index: index)) }
      (gradients + rank).initialize(to: UnsafePointer(own))
    }
    defer {
      for rank in 0..<ranks { gradients[rank].deallocate() }
      gradients.deallocate()
    }
    var totals = [0.0, 0.0]
    var lossSum = 0.0
    for rank in 0..<ranks {
      var own = [0.0, 0.0]
      for slice in layout.shard(rank: rank, of: ranks).slices {
        // Of the gradient before clipping.
        withRange(slice, gradients, ranks, 1) { rule.addSums(over: $0, to: &own) }
      }
      for index in totals.indices { totals[index] += own[index] }
      lossSum += loss(step: step, rank: rank)
    }
    totals.withUnsafeBufferPointer { rule.beginStep(StepTotals(loss: lossSum, sums: $0.baseAddress)) }
    withRange(0..<count, gradients, ranks, scale) { rule.update($0) }
  }

  private func withRange(
    _ range: Range<Int>, _ gradients: UnsafeMutablePointer<UnsafePointer<Float>>, _ ranks: Int, _ scale: Float,
    _ body: (ElementRange<Float>) -> Void
  ) {
    let slots = UnsafeMutablePointer<UnsafeMutablePointer<Float>>.allocate(capacity: 2)
    defer { slots.deallocate() }
    for slot in 0..<2 { (slots + slot).initialize(to: state[slot] + range.lowerBound) }
    body(
      ElementRange(
        gradients: UnsafePointer(gradients), gradientCount: ranks, gradientOffset: range.lowerBound,
        gradientScale: scale, y: y + range.lowerBound, state: UnsafePointer(slots), count: range.count))
  }
}

/// The bits of y and of v, on all ranks.
private func bits(_ optimizer: ShardedOptimizer, _ world: Communicator) throws -> [UInt32] {
  let count = optimizer.layout.elementCount
  let v = try everywhere(optimizer.gatherState(slot: 1), count: count, world)
  return parameters(optimizer).map(\.bitPattern) + (0..<count).map { v.pointer[$0].bitPattern }
}

/// Global sums and the loss are the same bits in shared and flat exchange as when added up in rank order by hand; a
/// step whose sums are no numbers, or that is not told the loss, is refused on all ranks and leaves no trace.
func checkSums(_ world: Communicator) throws {
  for test in cases {
    for clipNorm in (test.count == 49 ? [nil, 0.5] : [nil]) as [Double?] {
      for kind in ExchangeKind.allCases {
        let optimizer = try makeOptimizer(test, NormalizedDescent(), kind, world, clipNorm: clipNorm)
        let serial = SerialSums(optimizer.layout)
        for step in 0..<5 {
          fillGradients(optimizer, step: step, rank: world.rank)
          let outcome = try optimizer.finishStep(stopRequested: false, loss: loss(step: step, rank: world.rank))
          try require((outcome.gradientNorm != nil) == (clipNorm != nil), "a norm without need, or none")
          let norm = outcome.gradientNorm ?? 0
          serial.step(step, ranks: world.size, scale: norm > clipNorm ?? .infinity ? Float((clipNorm ?? 1) / norm) : 1)
          let where_ = "\(kind) \(test.sizes) clip \(clipNorm ?? 0) step \(step) rank \(world.rank) of \(world.size)"
          let found = try bits(optimizer, world)
          guard kind != .allreduce || world.size < 3 else {
            for (a, b) in zip(found, serial.values) {
              let (a, b) = (Float(bitPattern: a), Float(bitPattern: b))
              try require(abs(a - b) <= 2e-3 * max(abs(b), 1), "\(where_): \(a), expected \(b)")
            }
            continue
          }
          try require(found == serial.values, "\(where_): other bits")
        }
        try optimizer.close()
      }
    }
  }
  for kind in ExchangeKind.allCases { try checkRefusedTotals(kind, world) }
}

private func checkRefusedTotals(_ kind: ExchangeKind, _ world: Communicator) throws {
  let isLast = world.rank == world.size - 1
  let optimizer = try makeOptimizer(cases[3], NormalizedDescent(), kind, world)
  func expect(_ name: String, _ body: () throws -> Void) throws {
    do {
      try body()
      throw Failure(description: "\(kind): a step with a bad \(name) went through")
    } catch DataParallelError.nonFiniteTotal(let found, _, let step) {
      try require(found == name && step == 1, "\(kind): '\(found)' of step \(step) is reported, expected \(name)")
    } catch DataParallelError.nonFiniteLoss(let value, let step) {
      try require(name == "loss" && value.isNaN && step == 1, "\(kind): loss \(value) of step \(step) is reported")
    }
  }
  try expect("gradient L1 norm") {
    fillGradients(optimizer, step: 0, rank: world.rank)
    if isLast { optimizer.gradients[5] = -.infinity }
    _ = try optimizer.finishStep(stopRequested: false, loss: 1)
  }
  try expect("loss") {
    fillGradients(optimizer, step: 0, rank: world.rank)
    _ = try optimizer.finishStep(stopRequested: false, loss: isLast ? .nan : 1)
  }
  do {
    _ = try optimizer.finishStep(stopRequested: false)
    throw Failure(description: "\(kind): a step without a loss went through")
  } catch DataParallelError.lossMissing(let rule) {
    try require(rule == "normalized-descent", "\(kind): the rule without a loss is called \(rule)")
  }
  let other = try makeOptimizer(cases[3], NormalizedDescent(), kind, world)
  for each in [optimizer, other] {
    try require(each.step == 0, "\(kind): a refused step was counted")
    fillGradients(each, step: 1, rank: world.rank)
    _ = try each.finishStep(stopRequested: false, loss: 1)
  }
  try require(try bits(optimizer, world) == bits(other, world), "\(kind): a refused step left traces")
  // A rule without use for the loss does not look at it.
  let plain = try makeOptimizer(cases[3], SGDScheduleFree(), kind, world)
  fillGradients(plain, step: 0, rank: world.rank)
  _ = try plain.finishStep(stopRequested: false, loss: .nan)
  for each in [optimizer, other, plain] { try each.close() }
}

/// Sums of many numbers, as normalisations over all ranks take them, are those of a loop over the ranks, bit for bit,
/// in any exchange and between the sums of a step; more than was asked for is refused.
func checkWideSums(_ world: Communicator) throws {
  let largest = 1025
  for kind in ExchangeKind.allCases {
    let optimizer = try ShardedOptimizer(
      communicator: world, layout: cases[3].layout(), rule: NormalizedDescent(), exchange: kind, largestSum: largest)
    try optimizer.initializeParameters { $0[0] = 1 }
    for (round, count) in [largest, 1, 17, largest, 0, largest - 1].enumerated() {
      func value(_ rank: Int, _ index: Int) -> Double { Double(noise(round + 1, rank + 1, index)) * 1e6 + 0.1 }
      var values = (0..<count).map { value(world.rank, $0) }
      try values.withUnsafeMutableBufferPointer { buffer in
        if let base = buffer.baseAddress { try optimizer.sumOverRanks(base, count: count) }
      }
      let expected = (0..<count).map { index in (0..<world.size).reduce(0.0) { $0 + value($1, index) } }
      try require(values == expected, "\(kind): sums of \(count) numbers are not those in rank order")
      fillGradients(optimizer, step: round, rank: world.rank)
      _ = try optimizer.finishStep(stopRequested: false, loss: 1)
    }
    var tooMany = [Double](repeating: 0, count: largest + 1)
    do {
      try tooMany.withUnsafeMutableBufferPointer { buffer in
        if let base = buffer.baseAddress { try optimizer.sumOverRanks(base, count: largest + 1) }
      }
      throw Failure(description: "\(kind): a sum of too many numbers went through")
    } catch DataParallelError.wrongElementCount {}
    try optimizer.close()
  }
  // As a list of numbers, without an optimizer.
  let sums = try world.sumInRankOrder([0.1 * Double(world.rank), 1])
  let expected = [(0..<world.size).reduce(0.0) { $0 + 0.1 * Double($1) }, Double(world.size)]
  try require(sums == expected, "\(sums), expected \(expected)")
}

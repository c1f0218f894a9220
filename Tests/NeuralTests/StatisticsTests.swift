import Foundation
import Neural
import Testing

/// Running statistics of batch normalisations: kept, computed anew, and pooled.
@Suite struct StatisticsTests {
  /// The batch itself is normalised, so that its statistics can be written out.
  private let bare = Sequential(input: [3, 5, 7]) {
    BatchNorm("bn", epsilon: 1e-3)
    Flatten()
    Dense("fc", 3)
  }

  /// Mean and unbiased variance of each channel of images of 3 × 5 × 7.
  private func moments(_ images: [Float]) -> [Double] {
    var (means, variances): ([Double], [Double]) = ([], [])
    let examples = images.count / 105
    for channel in 0..<3 {
      var values: [Double] = []
      for example in 0..<examples {
        let start = (example * 3 + channel) * 35
        values += images[start..<start + 35].map(Double.init)
      }
      let mean = values.reduce(0, +) / Double(values.count)
      let squares = values.reduce(0.0) { $0 + ($1 - mean) * ($1 - mean) }
      means.append(mean)
      variances.append(squares / Double(values.count - 1))
    }
    return means + variances
  }

  @Test func theyAreNamedAsPyTorchsAndStartAsThere() throws {
    let plan = try Plan(Models.resNet20(), batchSize: 2)
    let statistics = plan.statistics
    #expect(statistics.first?.name == "bn1.running_mean" && statistics.first?.count == 16)
    #expect(statistics.contains { $0.name == "layer2.0.downsample.1.running_var" && $0.count == 32 })
    // One for each normalisation, and one behind the other.
    #expect(statistics.count == 2 * (1 + 9 * 2 + 2))
    var end = 0
    for tensor in statistics {
      #expect(tensor.offset == end)
      end += tensor.count
      let values = plan.runningStatistics[tensor.offset..<end]
      #expect(values.allSatisfy { $0 == (tensor.name.hasSuffix("mean") ? 0 : 1) })
    }
    #expect(plan.runningStatistics.count == end)
    #expect(try Plan(Models.vitTiny(), batchSize: 1).statistics.isEmpty)
  }

  @Test func theyFollowTheBatches() throws {
    let harness = try Harness(bare, batchSize: 4)
    let expected = moments(harness.input)
    var running = [0.0, 0, 0, 1, 1, 1]
    for _ in 0..<3 {
      _ = try harness.plan.forward(step: 0, firstExample: 0)
      running = zip(running, expected).map { 0.9 * $0 + 0.1 * $1 }
      #expect(relativeError(harness.plan.runningStatistics, running) < 1e-6)
    }
    // An evaluation changes nothing.
    let before = harness.plan.runningStatistics
    _ = try harness.plan.evaluate(count: 4)
    #expect(harness.plan.runningStatistics == before)
  }

  @Test(arguments: Precision.available)
  func evaluationUsesThem(_ precision: Precision) throws {
    let harness = try Harness(bare, batchSize: 2, options: PlanOptions(precision: precision))
    let parameters = try harness.canonical(harness.parameters)
    let (weights, bias) = (try #require(parameters["fc.weight"]), try #require(parameters["fc.bias"]))
    harness.plan.runningStatistics = [0.5, -1, 2, 0.25, 1, 4]
    _ = try harness.plan.evaluate(count: 2)
    let (means, variances): ([Double], [Double]) = ([0.5, -1, 2], [0.25, 1, 4])
    let normalized = harness.input.enumerated().map { index, value in
      (Double(value) - means[index / 35 % 3]) / (variances[index / 35 % 3] + 1e-3).squareRoot()
    }
    var expected: [Double] = []
    for example in 0..<2 {
      for row in 0..<3 {
        var sum = Double(bias[row])
        for index in 0..<105 { sum += normalized[example * 105 + index] * Double(weights[row * 105 + index]) }
        expected.append(sum)
      }
    }
    #expect(relativeError(Array(harness.plan.logits), expected) < (precision == .float32 ? 1e-5 : 2e-2))
  }

  @Test func adoptedStatisticsAreTheBatchs() throws {
    let harness = try Harness(bare, batchSize: 6)
    try harness.plan.accumulateStatistics(step: 0, firstExample: 0)
    try harness.plan.adoptStatistics(harness.plan.accumulatedStatistics)
    #expect(relativeError(harness.plan.runningStatistics, moments(harness.input)) < 1e-6)
  }

  @Test func sumsOfHalvesAreTheWholes() throws {
    let whole = try Harness(bare, batchSize: 6)
    try whole.plan.accumulateStatistics(step: 0, firstExample: 0)
    let half = try Harness(bare, batchSize: 3)
    // What was added up before is forgotten.
    try half.plan.accumulateStatistics(step: 0, firstExample: 0)
    half.plan.resetAccumulatedStatistics()
    var sums = [Double](repeating: 0, count: 7)
    for part in 0..<2 {
      try half.plan.fillInput(Array(whole.input[part * 315..<(part + 1) * 315]))
      // On one rank, one after the other; sums of several ranks are added likewise.
      try half.plan.accumulateStatistics(step: 0, firstExample: 3 * part)
      let own = try Harness(bare, batchSize: 3)
      try own.plan.fillInput(Array(whole.input[part * 315..<(part + 1) * 315]))
      try own.plan.accumulateStatistics(step: 0, firstExample: 3 * part)
      sums = zip(sums, own.plan.accumulatedStatistics).map { $0 + $1 }
    }
    let expected = whole.plan.accumulatedStatistics
    for found in [half.plan.accumulatedStatistics, sums] {
      #expect(found[6] == 6 * 35 && expected[6] == 6 * 35)
      for (value, wanted) in zip(found, expected) { #expect(abs(value - wanted) < 1e-5 * max(1, abs(wanted))) }
    }
    try half.plan.adoptStatistics(sums)
    #expect(relativeError(half.plan.runningStatistics, moments(whole.input)) < 1e-6)
  }

  /// By not one bit.
  @Test(arguments: Precision.available)
  func accumulatingDoesNotDisturbTraining(_ precision: Precision) throws {
    let network = try #require(NetworkCase.layers.first { $0.name == "residual sum, batch norm, SiLU" })
    func run(accumulates: Bool) throws -> (losses: [Double], gradients: [UInt32], statistics: [Float]) {
      let harness = try Harness(network.model, batchSize: 2, options: PlanOptions(seed: 3, precision: precision))
      var losses: [Double] = []
      for step in 0..<3 {
        if accumulates {
          let before = harness.plan.runningStatistics
          try harness.plan.fillInput(harness.input.map { 2 - $0 })
          for batch in 0..<2 { try harness.plan.accumulateStatistics(step: -1 - batch, firstExample: 0) }
          #expect(harness.plan.runningStatistics == before)
          // It was no training pass.
          #expect(throws: PlanError.self) { try harness.plan.backward { _ in } }
          try harness.plan.fillInput(harness.input)
        }
        losses.append(try harness.step(step))
      }
      return (losses, harness.gradients.bits, harness.plan.runningStatistics)
    }
    let (plain, disturbed) = (try run(accumulates: false), try run(accumulates: true))
    #expect(plain.losses == disturbed.losses)
    #expect(plain.gradients == disturbed.gradients)
    #expect(plain.statistics == disturbed.statistics)
  }

  @Test func impossibleSumsAreRefused() throws {
    let plan = try Plan(bare, batchSize: 2)
    let nothing = #expect(throws: PlanError.self) { try plan.adoptStatistics(plan.accumulatedStatistics) }
    #expect(nothing?.description.contains("not accumulated") == true)
    let short = #expect(throws: PlanError.self) { try plan.adoptStatistics([1, 2, 3]) }
    #expect(short?.description.contains("3 numbers") == true)
  }

  /// Two plans of half the batch each, on two threads, as two ranks would be.
  @Test func pooledHalvesAreTheWhole() throws {
    let network = NetworkCase("", batch: 6, input: [3, 5, 7]) {
      Convolution("conv1", channels: 17, kernel: 3, padding: 1, bias: false)
      BatchNorm("bn1")
      ReLU()
      Residual {
        Convolution("conv2", channels: 17, kernel: 3, padding: 1, bias: false)
        BatchNorm("bn2")
      }
      SiLU()
      Dropout(0.2)
      Flatten()
      BatchNorm("bn3")
      Dense("fc", 3)
    }
    let options = PlanOptions(labelSmoothing: 0.1, seed: 4)
    let whole = try Harness(network.model, batchSize: 6, options: options)
    let loss = try whole.step(2, firstExample: 10)
    let gradient = whole.gradients.values.map(Double.init)

    let meeting = Meeting()
    let halves = try (0..<2).map { rank in
      let half = try Harness(network.model, batchSize: 3, options: options)
      try half.plan.fillInput(Array(whole.input[rank * 315..<(rank + 1) * 315]))
      for index in 0..<3 { half.plan.labels[index] = whole.plan.labels[rank * 3 + index] }
      half.plan.poolStatistics { try meeting.add($0, $1, rank: rank) }
      return half
    }
    let losses = try meeting.run { rank in try halves[rank].step(2, firstExample: 10 + 3 * rank) }
    #expect(abs(losses[0] + losses[1] - loss) < 1e-5 * loss)
    // Gradients of weights and biases are summed over the ranks like all others.
    let sums = zip(halves[0].gradients.values, halves[1].gradients.values).map { $0 + $1 }
    #expect(relativeError(sums, gradient) < 1e-5)
    #expect(halves[0].plan.runningStatistics == halves[1].plan.runningStatistics)
    #expect(
      relativeError(halves[0].plan.runningStatistics, whole.plan.runningStatistics.map(Double.init)) < 1e-6)

    // Without pooling it is another function.
    for half in halves { half.plan.poolStatistics(nil) }
    let apart = try halves[0].step(2, firstExample: 10) + halves[1].step(2, firstExample: 13)
    #expect(abs(apart - loss) > 1e-3 * loss)
  }
}

/// Where two threads add up numbers, as ranks do over MPI.
private final class Meeting: @unchecked Sendable {
  private let condition = NSCondition()
  private var given: [[Double]] = [[], []]
  private var arrived = 0
  private var sum: [Double] = []
  private var round = 0

  struct Alone: Error {}

  func add(_ values: UnsafeMutablePointer<Double>, _ count: Int, rank: Int) throws {
    condition.lock()
    defer { condition.unlock() }
    given[rank] = Array(UnsafeBufferPointer(start: values, count: count))
    arrived += 1
    if arrived == 2 {
      sum = zip(given[0], given[1]).map { $0 + $1 }
      (arrived, round) = (0, round + 1)
      condition.broadcast()
    } else {
      let own = round
      let limit = Date(timeIntervalSinceNow: 30)
      while round == own { guard condition.wait(until: limit) else { throw Alone() } }
    }
    for index in 0..<count { values[index] = sum[index] }
  }

  /// Runs the same on two threads, and waits for both.
  func run(_ body: @escaping (Int) throws -> Double) throws -> [Double] {
    // Each thread has a plan of its own.
    nonisolated(unsafe) let body = body
    let (results, done) = (Results(), DispatchSemaphore(value: 0))
    for rank in 0..<2 {
      let thread = Thread {
        results.set(rank, Result { try body(rank) })
        done.signal()
      }
      thread.start()
    }
    for _ in 0..<2 { done.wait() }
    return try (0..<2).map { try results.get($0) }
  }

  private final class Results: @unchecked Sendable {
    private let lock = NSLock()
    private var values: [Int: Result<Double, any Error>] = [:]
    func set(_ rank: Int, _ value: Result<Double, any Error>) { lock.withLock { values[rank] = value } }
    func get(_ rank: Int) throws -> Double { try lock.withLock { try (values[rank] ?? .failure(Alone())).get() } }
  }
}

// Statistics of the normalisations in a plan: kept, restored, and computed anew for other parameters.

/// Running statistics of one normalisation of a plan.
public struct StatisticsTensor: Sendable, Hashable {
  /// Name as PyTorch would have it, such as `bn1.running_mean`.
  public let name: String
  /// How many numbers: one a channel.
  public let count: Int
  /// The first of them among all running statistics of the plan.
  public let offset: Int
}

extension Plan {
  /// The running statistics, layer by layer, mean before variance. Empty for a network without batch normalisation.
  public var statistics: [StatisticsTensor] {
    var (tensors, offset): ([StatisticsTensor], Int) = ([], 0)
    for compiled in program.statistics {
      for suffix in ["running_mean", "running_var"] {
        tensors.append(
          StatisticsTensor(name: "\(compiled.name).\(suffix)", count: compiled.channels, offset: offset))
        offset += compiled.channels
      }
    }
    return tensors
  }

  /// A copy of all running statistics, or new ones in their place: as many numbers as ``statistics`` lists, in that
  /// order. Other numbers of values are not accepted.
  public var runningStatistics: [Float] {
    get {
      program.statistics.flatMap { compiled in
        Array(UnsafeBufferPointer(start: compiled.running.floats, count: 2 * compiled.channels))
      }
    }
    set {
      precondition(newValue.count == program.statistics.reduce(0) { $0 + 2 * $1.channels })
      var offset = 0
      for compiled in program.statistics {
        for index in 0..<(2 * compiled.channels) { compiled.running.floats[index] = newValue[offset + index] }
        offset += 2 * compiled.channels
      }
    }
  }

  /// How many numbers ``runningStatistics`` are.
  public var statisticsCount: Int { program.statistics.reduce(0) { $0 + 2 * $1.channels } }

  /// Copies the running statistics out, without allocating anything.
  ///
  /// - Parameter values: receives ``statisticsCount`` numbers, in the order of ``statistics``.
  public func saveRunningStatistics(to values: UnsafeMutablePointer<Float>) {
    var offset = 0
    for index in 0..<program.statistics.count {
      let compiled = program.statistics[index]
      (values + offset).update(from: compiled.running.floats, count: 2 * compiled.channels)
      offset += 2 * compiled.channels
    }
  }

  /// Puts others in place of the running statistics, without allocating anything.
  ///
  /// - Parameter values: ``statisticsCount`` numbers, as ``saveRunningStatistics(to:)`` writes them.
  public func loadRunningStatistics(from values: UnsafePointer<Float>) {
    var offset = 0
    for index in 0..<program.statistics.count {
      let compiled = program.statistics[index]
      compiled.running.floats.update(from: values + offset, count: 2 * compiled.channels)
      offset += 2 * compiled.channels
    }
  }

  /// Runs the batch forward in training mode, so that each normalisation uses the batch's own statistics, and adds
  /// those to sums that begin at the last ``resetAccumulatedStatistics()``. Running statistics stay as they are.
  ///
  /// - Parameters: as for ``forward(step:firstExample:)``.
  /// - Throws: as ``forward(step:firstExample:)``.
  public func accumulateStatistics(step: Int, firstExample: Int) throws {
    try runForward(step: step, firstExample: firstExample, statistics: .accumulated)
  }

  /// Forgets what ``accumulateStatistics(step:firstExample:)`` added up.
  public func resetAccumulatedStatistics() {
    for compiled in program.statistics { compiled.resetAccumulated() }
  }

  /// The sums so far: per normalisation and channel the sum of elements, then of their squares, then how many elements
  /// a channel they are of. Those of several lanes or ranks are added number by number.
  public var accumulatedStatistics: [Double] {
    program.statistics.flatMap { compiled in
      Array(UnsafeBufferPointer(start: compiled.accumulated.doubles, count: 2 * compiled.channels + 1))
    }
  }

  /// Makes means and (unbiased) variances of such sums the running statistics.
  ///
  /// - Parameter sums: as ``accumulatedStatistics``, of at least two elements a channel.
  /// - Throws: ``PlanError`` if they are of fewer, or another number of sums.
  public func adoptStatistics(_ sums: [Double]) throws {
    guard sums.count == program.statistics.reduce(0, { $0 + 2 * $1.channels + 1 }) else {
      throw PlanError.value(name: "sums", received: "\(sums.count) numbers", expected: "as many as the plan has")
    }
    var offset = 0
    for compiled in program.statistics {
      let (channels, count) = (compiled.channels, sums[offset + 2 * compiled.channels])
      guard count > 1 else { throw PlanError.usage("statistics were not accumulated over any batch") }
      for channel in 0..<channels {
        let mean = sums[offset + channel] / count
        let variance = max(0, sums[offset + channels + channel] / count - mean * mean)
        compiled.runningMean[channel] = Float(mean)
        compiled.runningVariance[channel] = Float(variance * count / (count - 1))
      }
      offset += 2 * channels + 1
    }
  }

  /// Has normalisations take the statistics of the batches of several ranks together, which all run the same plan at
  /// the same time: `sum` adds the numbers up over the ranks, in place, in an order that does not depend on timing.
  /// Nil: each rank's batch by itself.
  public func poolStatistics(_ sum: ((UnsafeMutablePointer<Double>, Int) throws -> Void)?) {
    context.sumOverRanks = sum
  }
}

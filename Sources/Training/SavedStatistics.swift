import Checkpoints
import MPI
import Neural
import SystemPackage

/// The running statistics of batch normalisation in files.
///
/// `model.safetensors` has those at x, under the names that PyTorch gives its buffers, and counts of batches, which
/// PyTorch wants there. `optimizer.safetensors` has what training goes on from: each lane's own, one row a lane, whoever
/// computed it. (Before there were lanes, there was one a rank.)
struct SavedStatistics {
  let plan: Plan
  let lanes: Lanes

  private static let runningPrefix = "running."

  /// One for each normalisation, as PyTorch names its count of batches.
  private var counterNames: [String] {
    plan.statistics.compactMap { tensor in
      tensor.name.hasSuffix(".running_mean") ? tensor.name.dropLast("running_mean".count) + "num_batches_tracked" : nil
    }
  }

  /// Numbers of the plan's statistics in all.
  private var count: Int { plan.statistics.reduce(0) { $0 + $1.count } }

  // MARK: - Writing

  /// For `model.safetensors`.
  ///
  /// - Parameters:
  ///   - values: the statistics at x.
  ///   - batches: training batches of a lane done, which PyTorch's modules count.
  func modelTensors(_ values: [Float], batches: Int) -> [TensorToWrite] {
    plan.statistics.map { tensor in
      TensorToWrite(
        tensor.name, shape: [tensor.count], floats: Array(values[tensor.offset..<(tensor.offset + tensor.count)]))
    } + counterNames.map { TensorToWrite($0, shape: [], integers: [Int64(batches)]) }
  }

  /// For `optimizer.safetensors`: the running statistics of every lane. Collective.
  func optimizerTensors(_ laneStatistics: LaneStatistics, on world: Communicator) throws -> [TensorToWrite] {
    guard count > 0 else { return [] }
    let own = laneStatistics.rows.flatMap(\.self)
    var all = [Float](repeating: 0, count: world.size * own.count)
    try own.withUnsafeBufferPointer { own in
      try all.withUnsafeMutableBufferPointer { try world.allGather(own, into: $0) }
    }
    return plan.statistics.map { tensor in
      let rows = (0..<lanes.count).flatMap { lane in
        all[(lane * count + tensor.offset)..<(lane * count + tensor.offset + tensor.count)]
      }
      return TensorToWrite(Self.runningPrefix + tensor.name, shape: [lanes.count, tensor.count], floats: rows)
    }
  }

  // MARK: - Reading

  /// Reads the running statistics of a checkpoint: each lane's own, or for another number of lanes their mean for each.
  /// Collective.
  ///
  /// - Parameters:
  ///   - laneStatistics: receives those of this rank's lanes.
  ///   - checkpoint: on rank zero.
  func restore(
    _ laneStatistics: LaneStatistics, from checkpoint: Checkpoint?, on world: Communicator
  ) throws {
    guard count > 0 else { return }
    let rows = try world.agree(on: "the saved statistics") { () throws -> [[Float]]? in
      guard world.rank == 0, let checkpoint else { return nil }
      return try readRows(of: checkpoint.optimizer())
    }
    let saved = try world.broadcast(value: rows, root: 0)
    if saved.count == lanes.count {
      laneStatistics.rows = Array(saved[lanes.own])
    } else {
      var sums = [Double](repeating: 0, count: count)
      for row in saved {
        for index in sums.indices { sums[index] += Double(row[index]) }
      }
      let mean = sums.map { Float($0 / Double(saved.count)) }
      laneStatistics.rows = [[Float]](repeating: mean, count: lanes.perRank)
    }
  }

  /// One row of all statistics for each lane that was saved.
  private func readRows(of file: borrowing SafetensorsFile) throws -> [[Float]] {
    var rows: [[Float]] = []
    for tensor in plan.statistics {
      let name = Self.runningPrefix + tensor.name
      let shape = try file.tensor(name).shape
      let laneCount = tensor.offset == 0 && shape.count == 2 ? max(shape[0], 1) : rows.count
      if rows.isEmpty { rows = [[Float]](repeating: [], count: laneCount) }
      let values = try file.floats(name, shape: [laneCount, tensor.count])
      for lane in 0..<laneCount { rows[lane] += values[(lane * tensor.count)..<((lane + 1) * tensor.count)] }
    }
    return rows
  }

  /// Checks that a file of weights holds the plan's parameters and nothing but them and its statistics.
  ///
  /// - Throws: `SafetensorsError` naming the tensor that is missing, of another shape, or not expected.
  func check(_ file: borrowing SafetensorsFile) throws {
    try file.expect(
      plan.layout.tensors.map { (name: $0.name, shape: $0.shape) },
      allowing: plan.statistics.map { (name: $0.name, shape: [$0.count]) }
        + counterNames.map { (name: $0, shape: []) })
  }

  /// The plan's statistics, with those of a file of weights in their place as far as it has them.
  ///
  /// - Returns: the statistics, and which of them the file lacks, in words for people; nil if none.
  func values(of file: borrowing SafetensorsFile) throws -> (values: [Float], lack: String?) {
    var values = plan.runningStatistics
    let found = Set(file.tensors.map(\.name))
    var missing: [String] = []
    for tensor in plan.statistics {
      if found.contains(tensor.name) {
        values.replaceSubrange(
          tensor.offset..<(tensor.offset + tensor.count), with: try file.floats(tensor.name, shape: [tensor.count]))
      } else {
        missing.append(tensor.name)
      }
    }
    guard !missing.isEmpty else { return (values, nil) }
    let names = missing.prefix(4).joined(separator: ", ") + (missing.count > 4 ? ", …" : "")
    return (
      values,
      "\(file.path) has weights without \(missing.count) of \(plan.statistics.count) tensors of running statistics "
        + "(\(names)), which start at mean 0 and variance 1"
    )
  }
}

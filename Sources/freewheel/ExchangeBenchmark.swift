import ArgumentParser
import DataParallel
import Foundation
import MPI
import Neural
import ScheduleFree
import Training

/// Times the sharded exchange and update against the plain way: all-reduce, then a full update on every rank.
struct ExchangeBenchmark: ParallelCommand {
  static let configuration = CommandConfiguration(
    commandName: "exchange",
    abstract: "Times exchange and AdamWScheduleFree update against an all-reduce and a full update, in one run.",
    discussion: """
      With --model it times whole training steps of that network instead: computing alone, with exchange and update \
      overlapping, and with both after backward. How much of the exchange is hidden is \
      (after - overlapping) / (after - computing). Only ranks on several hosts overlap.
      """)

  @Option(help: "Numbers of parameters, separated by commas.")
  var parameters: String = "16384,1200000,11000000"

  @Option(help: "Time steps of this model: \(Models.byName.keys.sorted().joined(separator: "|")).")
  var model: String?

  @Option(help: "With --model: examples per rank and gradient.")
  var batchSize: Int = 64

  @OptionGroup(title: "Between nodes")
  var betweenNodes: BetweenNodesFlags

  @Option(help: "Repetitions of each; the median is printed.")
  var repetitions: Int = 101

  /// Steps of one kind in a row.
  private static let block = 10

  func validate() throws {
    guard repetitions >= 1 else { throw ValidationError("--repetitions is \(repetitions); expected 1 or more") }
    guard batchSize >= 1 else { throw ValidationError("--batch-size is \(batchSize); expected 1 or more") }
    if let model, Models.byName[model]?() == nil {
      throw ValidationError("--model is '\(model)'; expected \(Models.byName.keys.sorted().joined(separator: ", "))")
    }
    _ = try counts()
  }

  private func counts() throws -> [Int] {
    try parameters.split(separator: ",").map { text in
      guard let count = Int(text), count > 0, count <= 1 << 33 else {
        throw ValidationError("--parameters has '\(text)'; expected whole numbers from 1, separated by commas")
      }
      return count
    }
  }

  func run(on world: Communicator) throws -> Int32 {
    if let model, let network = Models.byName[model]?() {
      let benchmark = try OverlapBenchmark(
        network, name: model, batchSize: batchSize, betweenNodes: betweenNodes, on: world)
      try benchmark.run(repetitions: repetitions)
      return 0
    }
    if world.rank == 0 {
      print(
        "Exchange and AdamWScheduleFree update on \(world.size) ranks, median of \(repetitions), microseconds a step.")
      print("baseline: MPI_Allreduce in place, then the full update on every rank")
      print("parameters     baseline       shared  ratio         flat  ratio    allreduce  ratio")
    }
    let between = InterNodeOptions(
      wire: betweenNodes.wire, overlaps: betweenNodes.overlap == .on,
      algorithm: InterNodeAlgorithm(rawValue: betweenNodes.interNode.rawValue) ?? .direct)
    for count in try counts() {
      let baseline = try Baseline(count: count, world: world)
      let sharded = try ExchangeKind.allCases.map {
        try Sharded(count: count, kind: $0, between: between, world: world)
      }
      let bodies = [baseline.step] + sharded.map { $0.step }
      var times = [[Double]](repeating: [], count: bodies.count)
      // In turn by blocks, so that a drift of the machine's speed meets all alike; the first steps of a block find
      // the caches full of another's arrays and are not counted.
      for _ in 0..<(repetitions + Self.block - 1) / Self.block {
        for (index, body) in bodies.enumerated() {
          for step in -2..<Self.block {
            // As backward does just before: the gradients are this step's own, and lie in this rank's cache.
            index == 0 ? baseline.fillGradients() : sharded[index - 1].fillGradients()
            let seconds = try timed(on: world, body)
            if step >= 0 { times[index].append(seconds) }
          }
        }
      }
      let notes = sharded.map { $0.optimizer.exchangeNote }
      try world.agree(on: "the benchmark") {
        guard baseline.isFinite && sharded.allSatisfy({ $0.isFinite }) else { throw ExchangeBenchmarkError.notFinite }
      }
      for exchange in sharded { try exchange.optimizer.close() }
      guard world.rank == 0 else { continue }
      let medians = times.map { $0.sorted()[$0.count / 2] * 1e6 }
      var line = String(format: "%10d %12.1f", count, medians[0])
      for (note, median) in zip(notes, medians.dropFirst()) {
        line += String(format: " %12.1f %5.1f×", median, medians[0] / median)
        if let note { line += " (\(note))" }
      }
      print(line)
    }
    return 0
  }

  /// Seconds from a common start until the last rank is done.
  private func timed(on world: Communicator, _ body: () throws -> Void) throws -> Double {
    try world.barrier()
    let start = monotonicSeconds()
    try body()
    return try world.allGather(monotonicSeconds() - start).max() ?? 0
  }
}

/// What a data-parallel program does without sharding: every rank holds all state and updates all of it.
private final class Baseline {
  private let world: Communicator
  private let gradients: AlignedBuffer
  private let y: AlignedBuffer
  private let state: [AlignedBuffer]
  private let streamsY: Bool
  private var rule: AdamWScheduleFree

  init(count: Int, world: Communicator) throws {
    self.world = world
    rule = try AdamWScheduleFree()
    gradients = try AlignedBuffer(count: count, for: "gradients")
    y = try AlignedBuffer(count: count, for: "y")
    state = try rule.stateSlots.map { try AlignedBuffer(count: count, for: $0.name) }
    streamsY = CachePolicy.streamsY(
      byteCount: world.size * (2 + state.count) * count * MemoryLayout<Float>.stride)
    fillGradients()
  }

  func fillGradients() { fill(gradients.pointer, count: gradients.count, scale: 1 / Float(world.size)) }

  var isFinite: Bool { (0..<y.count).allSatisfy { y.pointer[$0].isFinite } }

  func step() throws {
    try world.allReduceSum(UnsafeMutableBufferPointer(start: gradients.pointer, count: gradients.count))
    rule.beginStep()
    withUnsafePointer(to: UnsafePointer(gradients.pointer)) { gradientPointer in
      withUnsafeTemporaryAllocation(of: UnsafeMutablePointer<Float>.self, capacity: state.count) { pointers in
        for (index, array) in state.enumerated() { pointers.initializeElement(at: index, to: array.pointer) }
        guard let base = pointers.baseAddress else { return }
        var range = ElementRange(
          gradients: gradientPointer, gradientCount: 1, gradientScale: 1, y: y.pointer,
          state: UnsafePointer(base), count: y.count)
        range.streamsY = streamsY
        rule.update(range)
      }
    }
  }
}

/// Gradients in -8...8, times `scale`.
private func fill(_ gradients: UnsafeMutablePointer<Float>, count: Int, scale: Float) {
  for index in 0..<count { gradients[index] = Float(index & 15 - 8) * scale }
}

/// A result that no training has, and so a time that says nothing.
private enum ExchangeBenchmarkError: Error, CustomStringConvertible {
  case notFinite
  var description: String { "parameters became infinite or not a number: the times mean nothing" }
}

private final class Sharded {
  let optimizer: ShardedOptimizer
  private let scale: Float

  init(count: Int, kind: ExchangeKind, between: InterNodeOptions, world: Communicator) throws {
    optimizer = try ShardedOptimizer(
      communicator: world, layout: BucketLayout(elementCount: count, tensorOffsets: [0]), rule: AdamWScheduleFree(),
      exchange: kind, between: between)
    scale = 1 / Float(world.size)
    fillGradients()
    try optimizer.initializeParameters { $0.update(repeating: 0, count: count) }
  }

  func fillGradients() { fill(optimizer.gradients, count: optimizer.layout.elementCount, scale: scale) }

  var isFinite: Bool { (0..<optimizer.layout.elementCount).allSatisfy { optimizer.parameters[$0].isFinite } }

  func step() throws { _ = try optimizer.finishStep(stopRequested: false) }
}

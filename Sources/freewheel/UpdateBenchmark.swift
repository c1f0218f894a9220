import ArgumentParser
import DataParallel
import Foundation
import MPI
import ScheduleFree
import Training

/// Times the element-wise pass of update rules against the memory bandwidth of the machine.
struct UpdateBenchmark: ParallelCommand {
  static let configuration = CommandConfiguration(
    commandName: "update",
    abstract: "Times the update pass of each optimizer in turn with STREAM's triad on arrays of the same size.",
    discussion: """
      Every rank updates arrays of its own with one thread. Bytes are those that the pass reads and writes, as STREAM \
      counts them; GB/s are 10^9 bytes per second of all ranks together. A round is a block of passes and \
      blocks of the triad, plain and with stores past the caches, of which the faster counts; of time, bandwidth and \
      percentage the median over the rounds is printed.
      """)

  @Option(help: "Optimizers, separated by commas; all if not given.")
  var methods: String?

  @Option(
    help: ArgumentHelp(
      "Elements a rank, several numbers separated by commas.",
      discussion: """
        Unless given: as many as fill half of the second-level cache, and as many as fill four times the last-level \
        cache on each rank.
        """))
  var elements: String?

  @Option(help: "Gradients that a pass adds up: in a run, one from each rank of the node.")
  var gradients: Int = 1

  @Option(
    help: ArgumentHelp(
      "How y is stored: \(Stores.allValueStrings.joined(separator: "|")).",
      discussion: "Past the caches, through them, or, as training does it, past them where the arrays are large."))
  var stores: Stores = .auto

  @Flag(help: "Read y after each pass, as the next forward pass does, and count that in.")
  var readY = false

  @Option(help: "Rounds.")
  var rounds: Int = 11

  @Option(help: "Also write every figure to this file, as JSON, when all is measured.")
  var json: String?

  /// How y is stored.
  enum Stores: String, ExpressibleByArgument, CaseIterable {
    case auto, cached, streamed
  }

  /// Bytes that a block of passes moves at least, so that the clock and the start of the ranks do not matter.
  private static let blockBytes = 1 << 28

  func validate() throws {
    guard rounds >= 1 else { throw ValidationError("--rounds is \(rounds); expected 1 or more") }
    guard (1...1024).contains(gradients) else {
      throw ValidationError("--gradients is \(gradients); expected 1 to 1024")
    }
    _ = try counts(for: rules())
  }

  func run(on world: Communicator) throws -> Int32 {
    let rules = try rules()
    let counts = try counts(for: rules)
    // A file that cannot be written is refused before minutes are spent.
    let file = try world.agree(on: "--json") { world.rank == 0 ? try json.map { try ReportFile($0) } : nil }
    defer { file?.discard() }
    var report = UpdateReport(
      machine: .current(), ranks: world.size, gradients: gradients, rounds: rounds, passes: [])
    if world.rank == 0 { print(report.heading) }
    for count in counts {
      for rule in rules {
        let result = try measure(rule, count: count, on: world)
        report.passes.append(result)
        if world.rank == 0 { print(result.line) }
      }
    }
    try world.agree(on: "--json") { try file?.write(json: report) }
    return 0
  }

  /// Rounds of passes and triads in turn, so that a drift of the machine's speed meets both alike.
  private func measure(_ rule: any UpdateRule, count: Int, on world: Communicator) throws -> UpdateReport.Pass {
    let bytes = UpdatePass.bytesPerElement(of: rule, gradientCount: gradients, readsY: readY)
    let arrays = UpdatePass.arrayCount(of: rule, gradientCount: gradients)
    let isStreamed =
      switch stores {
      case .auto: CachePolicy.streamsY(byteCount: world.size * arrays * count * MemoryLayout<Float>.stride)
      case .cached: false
      case .streamed: true
      }
    let (pass, triad) = try world.agree(on: "the arrays of \(rule.name)") {
      (
        try UpdatePass(rule: rule, count: count, gradientCount: gradients, isStreamed: isStreamed, readsY: readY),
        try TriadPass(totalCount: arrays * count)
      )
    }
    let passBytes = Double(count * bytes)
    let triadBytes = Double(triad.count * TriadPass.bytesPerElement)
    let passesPerBlock = max(1, Self.blockBytes / (count * bytes))
    let triadsPerBlock = max(1, Self.blockBytes / (triad.count * TriadPass.bytesPerElement))
    var passSeconds: [Double] = []
    var plainSeconds: [Double] = []
    var nontemporalSeconds: [Double] = []
    for _ in 0..<rounds {
      passSeconds.append(try timed(passesPerBlock, on: world, pass.step))
      plainSeconds.append(try timed(triadsPerBlock, on: world, triad.plain))
      nontemporalSeconds.append(try timed(triadsPerBlock, on: world, triad.nontemporal))
    }
    // What the machine can give is what the faster of the two gets.
    let triadSeconds = zip(plainSeconds, nontemporalSeconds).map { min($0, $1) }
    try world.agree(on: "the benchmark") { try pass.check() }
    let ranks = Double(world.size)
    return UpdateReport.Pass(
      method: rule.name, elements: count, streamed: isStreamed, bytesPerElement: bytes, triadElements: triad.count,
      nanosecondsPerElement: Spread(passSeconds.map { $0 / Double(count) * 1e9 }),
      gigabytesPerSecond: Spread(passSeconds.map { ranks * passBytes / $0 * 1e-9 }),
      triadGigabytesPerSecond: Spread(triadSeconds.map { ranks * triadBytes / $0 * 1e-9 }),
      percentOfTriad: Spread(
        zip(passSeconds, triadSeconds).map { 100 * (passBytes / $0) / (triadBytes / $1) }),
      seconds: passSeconds, plainTriadSeconds: plainSeconds, nontemporalTriadSeconds: nontemporalSeconds)
  }

  /// Seconds that one call takes when `repetitions` are made in a row, from a common start until the last rank is done.
  /// One call before them brings the arrays as near to the core as they fit.
  private func timed(_ repetitions: Int, on world: Communicator, _ body: () -> Void) throws -> Double {
    body()
    try world.barrier()
    let start = monotonicSeconds()
    for _ in 0..<repetitions { body() }
    return (try world.allGather(monotonicSeconds() - start).max() ?? 0) / Double(repetitions)
  }
}

extension UpdateBenchmark {
  /// One rule of each method that was asked for, with weight decay, and with momentum where it is that of SGD.
  private func rules() throws -> [any UpdateRule] {
    let names = methods?.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
    do {
      return try (names ?? OptimizerRegistry.methods.map(\.name)).map { name in
        let method = try OptimizerRegistry.method(named: name)
        // So little decay that it does not come to balance the gradients, which never change: moments that fade to
        // nothing would slow the processor down.
        let ours: [Hyperparameter: HyperparameterValue] = [.weightDecay: 1e-6, .momentum: 0.9]
        return try method.makeRule(OptimizerOptions(ours.filter { method.accepted.contains($0.key) }))
      }
    } catch let error as HyperparameterError {
      throw ValidationError("--methods: \(error)")
    }
  }

  /// The numbers of elements to measure at.
  private func counts(for rules: [any UpdateRule]) throws -> [Int] {
    let arrays = rules.map { UpdatePass.arrayCount(of: $0, gradientCount: gradients) }
    guard let fewest = arrays.min(), let most = arrays.max() else { return [] }
    guard let elements else {
      let machine = Machine.current()
      guard let near = machine.secondLevelCacheBytes, let far = machine.lastLevelCacheBytes else {
        throw ValidationError("this system does not tell the sizes of its caches: give --elements")
      }
      let stride = MemoryLayout<Float>.stride
      return [near / 2 / (most * stride), 4 * far / (fewest * stride)].map { ($0 + 1023) / 1024 * 1024 }
    }
    return try elements.split(separator: ",", omittingEmptySubsequences: false).map { text in
      guard let count = Int(text), count > 0, count <= 1 << 33 else {
        throw ValidationError("--elements has '\(text)'; expected whole numbers from 1, separated by commas")
      }
      return count
    }
  }
}

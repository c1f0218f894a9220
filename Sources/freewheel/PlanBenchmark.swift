import ArgumentParser
import DataParallel
import Foundation
import MPI
import Neural
import Training

/// Times a compiled training step against the sum of its oneDNN primitives.
struct PlanBenchmark: ParallelCommand {
  static let configuration = CommandConfiguration(
    commandName: "plan",
    abstract: "Times forward and backward of a model, and each of their oneDNN primitives alone, in one process.",
    discussion: """
      The primitives are those that a step made of nothing else would run. Where Freewheel has a kernel of its own, \
      what oneDNN has for the same work stands for it, and the table says so; what oneDNN does not have (dropout, the \
      loss, tokens) and copies between layouts count nothing. Steps and primitives take turns, round by round.
      """)

  @Option(help: "The model: \(Models.byName.keys.sorted().joined(separator: "|")).")
  var model: String = "mnist"

  @Option(help: "Examples a batch.")
  var batchSize: Int = 64

  @Option(
    help: "Precision of activations and of weights as read: \(Precision.allValueStrings.joined(separator: "|")).")
  var precision: Precision = .float32

  @Option(help: "Convolution algorithm: \(ConvolutionAlgorithm.allValueStrings.joined(separator: "|")).")
  var convolution: ConvolutionAlgorithm = .auto

  @Option(help: "Repetitions; medians are printed.")
  var repetitions: Int = 50

  @Option(
    help: ArgumentHelp(
      "What times are taken with: \(ProfileClock.allValueStrings.joined(separator: "|")).",
      discussion: "On a machine with other work, the time for which this process's thread ran says more."))
  var clock: ProfileClock = .wall

  @Flag(help: "Also time every operation of the plan, Freewheel's own among them, in the middle of whole steps.")
  var operations = false

  @Option(help: "Also write every figure of the primitives and the step to this file, as JSON.")
  var json: String?

  /// Steps and primitives in turn, so that a drift of the machine's speed meets both alike.
  private static let rounds = 5

  func validate() throws {
    guard batchSize >= 1 else { throw ValidationError("--batch-size is \(batchSize); expected 1 or more") }
    guard repetitions >= 1 else { throw ValidationError("--repetitions is \(repetitions); expected 1 or more") }
    guard Models.byName[model]?() != nil else {
      throw ValidationError("--model is '\(model)'; expected \(Models.byName.keys.sorted().joined(separator: ", "))")
    }
  }

  func run(on world: Communicator) throws -> Int32 {
    guard let network = Models.byName[model]?() else { return 1 }
    // A file that cannot be written is refused before minutes are spent.
    let file = try world.agree(on: "--json") { world.rank == 0 ? try json.map { try ReportFile($0) } : nil }
    defer { file?.discard() }
    let plan = try Plan(
      network, batchSize: batchSize, options: PlanOptions(convolution: convolution, precision: precision))
    let parameters = try AlignedBuffer(count: plan.layout.count, for: "parameters")
    let gradients = try AlignedBuffer(count: plan.layout.count, for: "gradients")
    try plan.initializeParameters(seed: 1, into: parameters.pointer)
    plan.lossScale = 1 / Float(batchSize)
    try plan.bind(parameters: parameters.pointer, gradients: gradients.pointer)
    let inputCount = plan.inputBytes.count / precision.byteCount
    try plan.fillInput((0..<inputCount).map { Float(($0 &* 7919) % 256) / 128 - 1 })
    for index in plan.labels.indices { plan.labels[index] = Int32(index % plan.classCount) }

    let perRound = max(1, repetitions / Self.rounds)
    var steps: [[Double]] = []
    var primitives: [[PrimitiveTiming]] = []
    for _ in 0..<Self.rounds {
      // The first step of a round finds the caches full of another's arrays, and is not counted.
      steps.append(
        try (-1..<perRound).map { step in
          let start = clock.seconds
          _ = try plan.forward(step: step + 1, firstExample: 0)
          try plan.backward { _ in }
          return clock.seconds - start
        }.dropFirst().map { $0 })
      primitives.append(try plan.timePrimitives(repetitions: perRound, clock: clock))
    }
    let report = PlanReport(model: model, plan: plan, clock: clock, steps: steps, primitives: primitives)
    if world.rank == 0 {
      print(report.text)
      if operations { print(try operationReport(plan)) }
    }
    try world.agree(on: "--json") { try file?.write(json: report) }
    return 0
  }

  /// A table of all operations of the plan, as they run in whole steps.
  private func operationReport(_ plan: Plan) throws -> String {
    var lines = ["", "operations in the middle of whole steps: median ms, fastest ms"]
    let timings = try plan.timeOperations(repetitions: repetitions, clock: clock)
    for timing in timings {
      let kind = timing.isPrimitive ? "oneDNN" : "own"
      let label = timing.label + String(repeating: " ", count: max(1, 44 - timing.label.count))
      lines.append(
        String(format: "%8.3f %8.3f  ", timing.seconds * 1e3, timing.fastestSeconds * 1e3) + label + kind)
    }
    lines.append(
      String(
        format: "%8.3f %8.3f  sum", timings.map(\.seconds).reduce(0, +) * 1e3,
        timings.map(\.fastestSeconds).reduce(0, +) * 1e3))
    return lines.joined(separator: "\n")
  }
}

extension ProfileClock: ExpressibleByArgument {}

import ArgumentParser
import Foundation
import MPI
import Neural
import Training

/// Says how long a step would take on other numbers of hosts.
struct Estimate: ParallelCommand {
  static let savesOnSignals = false

  static let configuration = CommandConfiguration(
    commandName: "estimate",
    abstract: "Predicts step time and efficiency on any number of hosts from a step measured on one.",
    discussion: """
      The step is that of a run on one host (RUN, its folder), or is measured now (--model), on as many ranks as a host \
      will hold. What is printed for each exchange and wire type are the model's terms: compute, data, update, \
      communication that is exposed, and how long messages take in all. Figures of a network: freewheel benchmark network.
      """)

  @Argument(help: "The folder of a run on one host.")
  var run: String?

  @Option(help: "Measure this model instead: \(Models.byName.keys.sorted().joined(separator: "|")).")
  var model: String?

  @Option(help: "Examples a rank, with --model.")
  var batchSize: Int = 64

  @Option(help: "With --model: \(Precision.allValueStrings.joined(separator: "|")).")
  var precision: Precision = .float32

  @Option(help: "Steps to measure, with --model.")
  var steps: Int = 20

  @Option(help: "Numbers of hosts, separated by commas.")
  var nodes: String = "1,2,4,8,16"

  @Option(help: "Ranks on each host. (default: as measured)")
  var ranksPerNode: Int?

  @Option(help: "Cores that a rank has; below 1: ranks take turns. (default: as measured)")
  var coresPerRank: Double?

  @Option(help: "What a small message between hosts takes: 50us, 0.1ms, …")
  var latency: Latency

  @Option(help: "What a host's link carries in each direction: 100mbit, 1gbit, 12.5GB, … or unlimited.")
  var bandwidth: Bandwidth

  @Option(help: "Nanoseconds of a core that sending, or receiving, a byte costs.")
  var nanosecondsPerByte: Double = 0.35

  @Option(help: "Exchanges: \(EstimatedExchange.allCases.map(\.rawValue).joined(separator: "|")), separated by commas.")
  var exchange: String = EstimatedExchange.allCases.map(\.rawValue).joined(separator: ",")

  @Option(help: "What travels between hosts in two levels: float32|bfloat16, separated by commas.")
  var wire: String = "float32,bfloat16"

  @Option(help: "Also write all figures to this file, as JSON.")
  var json: String?

  func validate() throws {
    func require(_ condition: Bool, _ flag: String, _ value: some CustomStringConvertible, _ expected: String) throws {
      guard condition else { throw ValidationError("\(flag) is \(value); expected \(expected)") }
    }
    guard (run == nil) != (model == nil) else {
      throw ValidationError("give either the folder of a run or --model, to measure one now")
    }
    if let model {
      try require(Models.byName[model]?() != nil, "--model", model, Models.byName.keys.sorted().joined(separator: ", "))
    }
    try require(batchSize >= 1 && batchSize <= 1 << 20, "--batch-size", batchSize, "1 to 1048576")
    try require(steps >= 1 && steps <= 100_000, "--steps", steps, "1 to 100000")
    try require(nodeCounts != nil, "--nodes", nodes, "numbers from 1 to 100000, separated by commas")
    if let ranksPerNode {
      try require(ranksPerNode >= 1 && ranksPerNode <= 4096, "--ranks-per-node", ranksPerNode, "1 to 4096")
    }
    if let coresPerRank {
      try require(
        coresPerRank > 0 && coresPerRank.isFinite, "--cores-per-rank", coresPerRank, "a positive number")
    }
    try require(
      nanosecondsPerByte >= 0 && nanosecondsPerByte.isFinite, "--nanoseconds-per-byte", nanosecondsPerByte,
      "0 or more")
    try require(
      exchanges != nil, "--exchange", exchange, EstimatedExchange.allCases.map(\.rawValue).joined(separator: ", "))
    try require(wires != nil, "--wire", wire, "float32, bfloat16")
  }

  private var nodeCounts: [Int]? {
    CommaList(nodes) { Int($0).flatMap { (1...100_000).contains($0) ? $0 : nil } }?.values
  }
  private var exchanges: [EstimatedExchange]? { CommaList(exchange) { EstimatedExchange(rawValue: $0) }?.values }
  private var wires: [Int]? { CommaList(wire) { ["float32": 4, "bfloat16": 2][$0] }?.values }

  func run(on world: Communicator) throws -> Int32 {
    let file = try world.agree(on: "--json") { world.rank == 0 ? try json.map { try ReportFile($0) } : nil }
    defer { file?.discard() }
    let measured: MeasuredStep
    if let model {
      measured = try MeasuredStep(model: model, batchSize: batchSize, precision: precision, steps: steps, on: world)
    } else {
      let folder = run ?? ""
      measured = try world.agree(on: "the run") { try MeasuredStep(run: folder) }
    }
    let report = EstimateReport(measured, rows: rows(measured), network: network)
    if world.rank == 0 { print(report.text) }
    try world.agree(on: "--json") { try file?.write(json: report) }
    return 0
  }

  private var network: NetworkFigures {
    NetworkFigures(
      latency: latency.seconds, bandwidth: bandwidth.bytesPerSecond, processorSecondsPerByte: nanosecondsPerByte * 1e-9)
  }

  private func rows(_ measured: MeasuredStep) -> [EstimateReport.Row] {
    let model = StepModel(
      profile: measured.profile, data: measured.data, update: measured.update, other: measured.other, network: network)
    let perNode = ranksPerNode ?? measured.profile.ranks
    let cores = coresPerRank ?? measured.profile.coresPerRank
    let single = model.estimate(
      JobShape(nodes: 1, ranksPerNode: perNode, exchange: .twoLevel, wireBytes: 4, coresPerRank: cores))
    var rows: [EstimateReport.Row] = []
    for exchange in exchanges ?? [] {
      for bytes in exchange == .twoLevel ? wires ?? [] : [4] {
        for count in nodeCounts ?? [] {
          let job = JobShape(
            nodes: count, ranksPerNode: perNode, exchange: exchange, wireBytes: bytes, coresPerRank: cores)
          let estimate = model.estimate(job)
          let examples = Double(measured.profile.examples) / Double(measured.profile.ranks) * Double(job.ranks)
          rows.append(
            EstimateReport.Row(
              job: job, estimate: estimate, examplesPerSecond: examples / estimate.step,
              efficiency: single.step / estimate.step))
        }
      }
    }
    return rows
  }
}

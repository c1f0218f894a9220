import Foundation

/// What `freewheel estimate` prints and writes.
struct EstimateReport: Encodable {
  /// One job.
  struct Row: Encodable {
    let job: JobShape
    let estimate: StepEstimate
    let examplesPerSecond: Double
    /// Examples a second of each host, against those of one alone.
    let efficiency: Double

    private enum CodingKeys: String, CodingKey {
      case nodes, ranksPerNode, coresPerRank, exchange, wire, stepMilliseconds, computeMilliseconds, dataMilliseconds
      case updateMilliseconds, exposedMilliseconds, otherMilliseconds, communicationMilliseconds, bytesPerNode
      case examplesPerSecond, efficiency
    }

    func encode(to encoder: any Encoder) throws {
      var container = encoder.container(keyedBy: CodingKeys.self)
      try container.encode(job.nodes, forKey: .nodes)
      try container.encode(job.ranksPerNode, forKey: .ranksPerNode)
      try container.encode(job.coresPerRank, forKey: .coresPerRank)
      try container.encode(job.exchange.rawValue, forKey: .exchange)
      try container.encode(job.wireBytes == 2 ? "bfloat16" : "float32", forKey: .wire)
      try container.encode(estimate.step * 1e3, forKey: .stepMilliseconds)
      try container.encode(estimate.compute * 1e3, forKey: .computeMilliseconds)
      try container.encode(estimate.data * 1e3, forKey: .dataMilliseconds)
      try container.encode(estimate.update * 1e3, forKey: .updateMilliseconds)
      try container.encode(estimate.exposed * 1e3, forKey: .exposedMilliseconds)
      try container.encode(estimate.other * 1e3, forKey: .otherMilliseconds)
      try container.encode(estimate.communication * 1e3, forKey: .communicationMilliseconds)
      try container.encode(estimate.bytesPerNode, forKey: .bytesPerNode)
      try container.encode(examplesPerSecond, forKey: .examplesPerSecond)
      try container.encode(efficiency, forKey: .efficiency)
    }
  }

  let measuredStepMilliseconds: Double
  let measuredRanks: Int
  let parameters: Int
  let rows: [Row]
  private let network: NetworkFigures

  private enum CodingKeys: String, CodingKey { case measuredStepMilliseconds, measuredRanks, parameters, rows }

  init(_ measured: MeasuredStep, rows: [Row], network: NetworkFigures) {
    measuredStepMilliseconds = measured.seconds * 1e3
    measuredRanks = measured.profile.ranks
    parameters = measured.profile.bucketElements.reduce(0, +)
    self.rows = rows
    self.network = network
  }

  /// A table.
  var text: String {
    let bandwidth =
      network.bandwidth.isFinite ? String(format: "%g Mbit/s", network.bandwidth * 8e-6) : "as fast as processors move"
    var lines = [
      String(
        format: "measured: %.2f ms a step on %d %@ of one host; %d parameters", measuredStepMilliseconds, measuredRanks,
        measuredRanks == 1 ? "rank" : "ranks", parameters),
      String(
        format: "network: %g µs, %@, %g ns of a core a byte", network.latency * 1e6, bandwidth,
        network.processorSecondsPerByte * 1e9),
      "milliseconds of a step; exposed: communication that nothing hides; messages: all of it",
      "exchange   wire      hosts ranks    step  compute    data  update exposed   other  messages  images/s  efficiency",
    ]
    for row in rows {
      let e = row.estimate
      let exchange = row.job.exchange.rawValue.padding(toLength: 11, withPad: " ", startingAt: 0)
      let wire = (row.job.wireBytes == 2 ? "bfloat16" : "float32").padding(toLength: 10, withPad: " ", startingAt: 0)
      lines.append(
        exchange + wire
          + String(
            format: "%5d %5d %7.2f  %7.2f %7.2f %7.2f %7.2f %7.2f  %8.2f %9.0f %9.1f %%", row.job.nodes, row.job.ranks,
            e.step * 1e3, e.compute * 1e3, e.data * 1e3, e.update * 1e3, e.exposed * 1e3, e.other * 1e3,
            e.communication * 1e3, row.examplesPerSecond, 100 * row.efficiency))
    }
    return lines.joined(separator: "\n")
  }
}

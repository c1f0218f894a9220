import Foundation
import TestSupport
import Testing

@Suite("The benchmark of plans")
struct PlanBenchmarkTests {
  /// What the tests look at of the report.
  private struct Report: Decodable {
    struct Spread: Decodable { let median, smallest, largest: Double }
    struct Row: Decodable {
      let layer, direction, implementation: String
      let equivalent: String?
      let seconds, bestSeconds: Double
      let alternatives: [String: Double]
    }
    let model, precision, clock: String
    let batchSize: Int
    let rows: [Row]
    let step, stepOverSum: Spread
    let sum, equivalentSum: Double
  }

  @Test("The figures fit together, in the table and in the file", arguments: ["float32", "bfloat16"])
  func report(precision: String) async throws {
    let folder = try TemporaryFolder()
    let result = try await MPIRunner.runAlone(
      "freewheel",
      [
        "benchmark", "plan", "--model", "resnet20", "--batch-size", "2", "--repetitions", "1", "--clock", "processor",
        "--precision", precision, "--operations", "--json", folder["plan.json"],
      ])
    if precision == "bfloat16" && result.standardError.contains("no bfloat16 kernels") { return }
    #expect(result.exitCode == 0, "\(result)")
    let report = try JSONDecoder().decode(
      Report.self, from: Data(contentsOf: URL(fileURLWithPath: folder["plan.json"])))
    #expect(report.model == "resnet20" && report.precision == precision && report.clock == "processor")
    #expect(report.batchSize == 2)
    let equivalents = report.rows.filter { $0.equivalent != nil }
    // 19 normalisations and two in shortcuts, forward and backward.
    #expect(equivalents.count { $0.equivalent?.hasPrefix("batch norm") == true } == 2 * 21)
    #expect(equivalents.count { $0.equivalent == "sum+ReLU" && $0.direction == "forward" } == 9)
    for row in report.rows {
      #expect(row.seconds > 0 && row.bestSeconds <= row.seconds, "\(row)")
      #expect((row.bestSeconds == 0) == (row.direction == "reorder"), "\(row)")
      #expect(row.alternatives.isEmpty || row.layer.contains("conv") || row.layer.contains("downsample"), "\(row)")
    }
    func isClose(_ found: Double, _ expected: Double) -> Bool { abs(found - expected) <= 1e-9 * expected }
    #expect(isClose(report.sum, report.rows.map(\.bestSeconds).reduce(0, +)))
    #expect(isClose(report.equivalentSum, equivalents.map(\.bestSeconds).reduce(0, +)))
    #expect(report.stepOverSum.smallest > 0 && report.stepOverSum.smallest <= report.stepOverSum.median)
    #expect(report.step.smallest > 0 && report.stepOverSum.median <= report.stepOverSum.largest)
    let lines = result.standardOutput.split(separator: "\n")
    #expect(lines.count { $0.contains("for our ") } == equivalents.count)
    #expect(lines.contains { $0.hasPrefix("whole step (forward and backward): median") })
    #expect(lines.contains { $0.hasSuffix("own") && $0.contains("layer1.0.bn1 apply") })
  }

  @Test(
    "Bad flags are refused in words",
    arguments: [
      (["--model", "bogus"], ["--model", "bogus", "resnet20"]), (["--batch-size", "0"], ["--batch-size is 0"]),
      (["--repetitions", "0"], ["--repetitions is 0"]), (["--precision", "int8"], ["--precision", "int8"]),
      (["--clock", "sun"], ["--clock", "sun"]), (["--json", "/nowhere/plan.json"], ["--json", "/nowhere"]),
    ])
  func refusals(flags: [String], words: [String]) async throws {
    let result = try await MPIRunner.runAlone("freewheel", ["benchmark", "plan"] + flags)
    #expect(result.exitCode != 0 && result.exitCode < 128, "\(result)")
    #expect(words.allSatisfy { result.standardError.contains($0) }, "\(result)")
    #expect(result.standardOutput.isEmpty, "\(result)")
  }
}

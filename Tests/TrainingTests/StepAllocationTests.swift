import TestSupport
import Testing

@Suite("What a training step allocates")
struct StepAllocationTests {
  @Test(
    "Nothing: neither batch, plan, exchange nor update; what MPI and oneDNN do inside is theirs", arguments: [1, 2])
  func nothing(ranks: Int) async throws {
    let result = try await MPIRunner.run("step-allocation-probe", ranks: ranks, timeLimit: .seconds(90))
    #expect(result.exitCode == 0, "\(result)")
    let lines = result.standardOutput.split(whereSeparator: \.isNewline)
    #expect(lines.count == 30, "\(result)")
    for line in lines { #expect(line.contains("ours 0 "), "\(line)") }
  }
}

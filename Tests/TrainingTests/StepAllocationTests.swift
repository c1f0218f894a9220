import TestSupport
import Testing

@Suite("What a training step allocates")
struct StepAllocationTests {
  @Test(
    "Nothing: neither batch, plan, exchange nor update; what MPI and oneDNN do inside is theirs",
    arguments: ["0", "0,0", "0,1", "0,0,1,1"])
  func nothing(nodes: String) async throws {
    // The ranks pretend to be on these nodes: with several, a communication thread is at work as well.
    let result = try await MPIRunner.run(
      "step-allocation-probe", ranks: nodes.split(separator: ",").count,
      environment: ["FREEWHEEL_PRETENDED_NODES": nodes], timeLimit: .seconds(240))
    #expect(result.exitCode == 0, "\(result)")
    let lines = result.standardOutput.split(whereSeparator: \.isNewline)
    #expect(lines.count == 30, "\(result)")
    for line in lines { #expect(line.contains("ours 0 "), "\(line)") }
  }
}

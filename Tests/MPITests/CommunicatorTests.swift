import TestSupport
import Testing

/// Runs checks of the program mpi-probe, which compares every result itself, on several ranks.
@Suite struct CommunicatorTests {
  @Test(arguments: [1, 2, 3, 4])
  func everyCheckHolds(ranks: Int) async throws {
    // One job for all of them: most of a job's time goes into starting it.
    try await check(
      [
        "collectives", "collectives-in-pieces-of-1", "collectives-in-pieces-of-5", "values", "communicators", "misuse",
        "agree", "messages", "nodes", "window", "window-atomics", "window-too-large",
      ], ranks: ranks)
  }

  @Test func twoThreadsCommunicateAtOnce() async throws {
    try await check(["threads"], ranks: 2)
  }

  @Test(arguments: ["0,0,1,1", "0,1,0,1", "1,0,0,2,1"])
  func ranksAreGroupedByNode(nodes: String) async throws {
    let ranks = nodes.split(separator: ",").count
    let result = try await MPIRunner.run(
      "mpi-probe", ["check", "nodes"], ranks: ranks, environment: ["FREEWHEEL_PRETENDED_NODES": nodes])
    #expect(result.exitCode == 0, "\(result)")
    #expect(result.standardOutput.contains("nodes: well on \(ranks) ranks\n"), "\(result)")
  }

  @Test func pretendedNodesMustNameEveryRank() async throws {
    let result = try await MPIRunner.run(
      "mpi-probe", ["check", "nodes"], ranks: 2, environment: ["FREEWHEEL_PRETENDED_NODES": "0,x"])
    #expect(result.exitCode == 1, "\(result)")
    #expect(result.standardError.contains("FREEWHEEL_PRETENDED_NODES is '0,x'"), "\(result)")
  }

  @Test func windowsFollowTheFolderTheLibraryIsToldToUse() async throws {
    // No such folder: the check of free space must look there, and every rank must throw the same.
    let result = try await MPIRunner.run(
      "mpi-probe", ["check", "window"], ranks: 2, mpirunFlags: ["--mca", "osc_sm_backing_directory", "/no/such/folder"])
    #expect(result.exitCode == 1, "\(result)")
    #expect(lines(of: result, containing: "/no/such/folder on ").count == 1, "\(result)")
  }

  @Test func theProbeItselfCanFail() async throws {
    let result = try await MPIRunner.run("mpi-probe", ["check", "nonsense"], ranks: 2)
    #expect(result.exitCode == 1)
    #expect(lines(of: result, containing: "no check 'nonsense'").count == 1, "\(result)")
  }

  private func check(_ names: [String], ranks: Int) async throws {
    let result = try await MPIRunner.run("mpi-probe", ["check"] + names, ranks: ranks)
    #expect(result.exitCode == 0, "\(result)")
    for name in names {
      #expect(result.standardOutput.contains("\(name): well on \(ranks) ranks\n"), "\(result)")
    }
  }
}

/// The lines of standard error that hold `text`.
func lines(of result: JobResult, containing text: String) -> [String] {
  result.standardError.split(separator: "\n").map(String.init).filter { $0.contains(text) }
}

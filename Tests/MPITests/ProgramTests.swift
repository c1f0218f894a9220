import Foundation
import TestSupport
import Testing

/// How programs end: their codes, and what is said of errors that nobody caught.
@Suite struct ProgramTests {
  @Test func withoutMpirunThereIsOneRank() async throws {
    let result = try await MPIRunner.runAlone("mpi-probe", ["describe"])
    #expect(result.exitCode == 0, "\(result)")
    #expect(result.standardOutput.hasPrefix("rank 0 of 1 on "), "\(result)")

    let checks = ["collectives", "values", "agree", "window"]
    let checked = try await MPIRunner.runAlone("mpi-probe", ["check"] + checks)
    #expect(checked.exitCode == 0, "\(checked)")
    #expect(checked.standardOutput == checks.map { "\($0): well on 1 ranks\n" }.joined(), "\(checked)")
  }

  @Test func withoutMpirunErrorsAndCodesAreKept() async throws {
    let failed = try await MPIRunner.runAlone("mpi-probe", ["fail-all"])
    #expect(failed.exitCode == 1, "\(failed)")
    let said = lines(of: failed, containing: "rank 0 of 1 on ")
    #expect(said.count == 1 && said[0].hasSuffix(": the learning rate is negative (it was -1)"), "\(failed)")
    #expect(try await MPIRunner.runAlone("mpi-probe", ["exit", "75"]).exitCode == 75)
  }

  @Test(arguments: [2, 4])
  func theCodeOfTheProgramIsTheCodeOfMpirun(ranks: Int) async throws {
    let result = try await MPIRunner.run("mpi-probe", ["exit", "75"], ranks: ranks)
    #expect(result.exitCode == 75, "\(result)")
  }

  @Test(arguments: [(0, "spin"), (1, "barrier"), (2, "collective"), (1, "finish")])
  func anErrorOnOneRankEndsTheJobAndIsPrintedOnce(rank: Int, others: String) async throws {
    let result = try await MPIRunner.run("mpi-probe", ["fail-one", String(rank), others], ranks: 3)
    #expect(result.exitCode == 1 && !result.timedOut && result.survivors == 0, "\(result)")
    let said = lines(of: result, containing: "disk on fire")
    #expect(said.count == 1, "\(result)")
    #expect(said.first?.hasPrefix("rank \(rank) of 3 on ") == true, "\(result)")
  }

  @Test func anErrorAllRanksAgreedOnIsPrintedOnce() async throws {
    let result = try await MPIRunner.run("mpi-probe", ["fail-agreed", "1"], ranks: 3)
    #expect(result.exitCode == 1 && !result.timedOut, "\(result)")
    let said = lines(of: result, containing: "no file 'train'")
    #expect(said.count == 1, "\(result)")
    #expect(said.first?.hasPrefix("rank 1 of 3 on ") == true, "\(result)")
    #expect(said.first?.hasSuffix(": reading the data: no file 'train'") == true, "\(result)")
    #expect(lines(of: result, containing: "MPI_ABORT").isEmpty, "\(result)")
  }

  @Test func anErrorAgreedOnInAPartIsPrintedOnceAndEndsTheJob() async throws {
    let result = try await MPIRunner.run("mpi-probe", ["fail-in-a-part"], ranks: 4)
    #expect(result.exitCode == 1 && !result.timedOut && result.survivors == 0, "\(result)")
    let said = lines(of: result, containing: "the even part: odd")
    #expect(said.count == 1, "\(result)")
    #expect(said.first?.hasPrefix("rank 2 of 4 on ") == true, "\(result)")
  }

  @Test func theSameErrorOnAllRanksIsPrintedOnceAndDifferentOnesEachOnce() async throws {
    let same = try await MPIRunner.run("mpi-probe", ["fail-all"], ranks: 3)
    #expect(same.exitCode == 1, "\(same)")
    #expect(lines(of: same, containing: "the learning rate is negative (it was -1)").count == 1, "\(same)")

    let different = try await MPIRunner.run("mpi-probe", ["fail-each"], ranks: 3)
    #expect(different.exitCode == 1, "\(different)")
    for rank in 0..<3 {
      #expect(lines(of: different, containing: "rank \(rank) of 3 on ").count == 1, "\(different)")
    }
  }

  @Test func aFailedRankHeedsSIGTERMThoughTheProgramBlocksIt() async throws {
    let result = try await MPIRunner.run("mpi-probe", ["fail-while-terminated"], ranks: 2)
    #expect(result.exitCode == 128 + SIGTERM && !result.timedOut && result.survivors == 0, "\(result)")
    #expect(result.standardOutput.contains("rank 0 is still there"), "\(result)")
    // It ended while it waited for others to fail too, which is before it speaks.
    #expect(lines(of: result, containing: "disk on fire").isEmpty, "\(result)")
  }

  @Test func aKilledRankTakesTheJobDown() async throws {
    let job = try await MPIRunner.start("mpi-probe", ["wait"], ranks: 3)
    for rank in 0..<3 { #expect(await job.waitForOutput("rank \(rank) waits")) }
    #expect(job.send(signal: SIGKILL, toRank: 1))
    let result = await job.result()
    #expect(result.exitCode == 128 + SIGKILL && !result.timedOut && result.survivors == 0, "\(result)")
  }

  @Test func aJobThatHangsIsEndedAtItsLimit() async throws {
    let result = try await MPIRunner.run("mpi-probe", ["wait"], ranks: 2, timeLimit: .seconds(2))
    #expect(result.timedOut && result.exitCode != 0 && result.survivors == 0, "\(result)")
  }
}

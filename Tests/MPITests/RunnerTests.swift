import Testing
import TestSupport

@Suite struct RunnerTests {
  @Test func exitCodesAndOutputsAreKept() async throws {
    let result = try await Job.start(
      executable: "/bin/sh", arguments: ["-c", "echo out; echo err >&2; exit 3"]
    ).result()
    #expect(result.exitCode == 3)
    #expect(result.standardOutput == "out\n")
    #expect(result.standardError == "err\n")
    #expect(!result.timedOut && result.survivors == 0)
  }

  @Test func largeOutputDoesNotBlock() async throws {
    let result = try await Job.start(
      executable: "/bin/sh", arguments: ["-c", "head -c 3000000 /dev/zero; head -c 1000000 /dev/zero >&2"]
    ).result()
    #expect(result.exitCode == 0)
    #expect(result.standardOutput.utf8.count == 3_000_000)
    #expect(result.standardError.utf8.count == 1_000_000)
  }

  @Test func aJobPastItsLimitIsEndedWithAllItsProcesses() async throws {
    // The shell and its child ignore SIGTERM, and the child sits in a process group of its own, as a rank does.
    let job = try await Job.start(
      executable: "/bin/sh", arguments: ["-c", "trap '' TERM; set -m; sleep 1000 & sleep 1000"],
      timeLimit: .milliseconds(300))
    let result = await job.result()
    #expect(result.timedOut)
    #expect(result.exitCode == 128 + 9)
    #expect(result.survivors == 0)
  }

  @Test func directoryAndEnvironmentArePassed() async throws {
    let result = try await Job.start(
      executable: "/bin/sh", arguments: ["-c", "pwd; echo $OMP_NUM_THREADS $PROBE"], environment: ["PROBE": "a b"],
      directory: "/usr"
    ).result()
    #expect(result.standardOutput == "/usr\n1 a b\n")
  }

  @Test func anUnknownProgramIsAnErrorThatNamesIt() async {
    let error = await #expect(throws: RunnerError.self) { try await MPIRunner.run("no-such-program", ranks: 2) }
    #expect(error?.description.contains("no-such-program") == true)
  }

  @Test func outputIsSeenWhileTheJobRunsAndSignalsReachIt() async throws {
    let job = try await Job.start(
      executable: "/bin/sh", arguments: ["-c", "trap 'exit 7' USR1; echo ready; while :; do sleep 0.05; done"])
    #expect(await job.waitForOutput("ready"))
    job.send(signal: 10)
    #expect(await job.result().exitCode == 7)
  }
}

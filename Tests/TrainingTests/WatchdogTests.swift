import Foundation
import TestSupport
import Testing

@Suite("A job that does not go on is ended, and the rank to blame is named", .serialized)
struct WatchdogTests {
  /// Lines of standard error that hold all of `words`.
  private func lines(_ result: JobResult, _ words: [String]) -> [Substring] {
    result.standardError.split(separator: "\n").filter { line in words.allSatisfy { line.contains($0) } }
  }

  @Test("A rank stopped by SIGSTOP, by name, within the time set", arguments: [0, 1])
  func stoppedRank(victim: Int) async throws {
    let run = try MNISTRun()
    let job = try await MPIRunner.start(
      "mnist", run.flags + ["--steps", "1000000", "--evaluate-every", "0", "--stall-timeout", "8"], ranks: 2,
      directory: run.folder.path, timeLimit: .seconds(90))
    #expect(await job.waitForOutput("step 3/"))
    let process = try #require(job.process(ofRank: victim))
    #expect(job.send(signal: SIGSTOP, toRank: victim))
    let start = ContinuousClock.now
    #expect(await job.waitForOutput("stalled: ", within: .seconds(30)))
    let reported = ContinuousClock.now - start
    let result = await job.result()
    #expect(result.exitCode == 76 && !result.timedOut && result.survivors == 0, "\(result)")
    #expect(reported < .seconds(8), "\(reported)")
    #expect(
      lines(result, ["stalled: rank \(victim) (pid \(process) on ", "has not answered", "step "]).count == 1,
      "\(result)")
    let other = 1 - victim
    #expect(lines(result, ["rank \(other) (pid ", "waits for rank \(victim)", "step "]).count == 1, "\(result)")
    #expect(lines(result, ["exit code 76", "--stall-timeout 8", "--resume auto"]).count == 1, "\(result)")
  }

  @Test("A rank that lives but hangs: what it does, and that the others wait for it")
  func hangingRank() async throws {
    let run = try MNISTRun()
    let result = try await MPIRunner.run(
      "watch-probe", run.flags + ["--steps", "100", "--hang-after", "2", "--stall-timeout", "4"], ranks: 2,
      directory: run.folder.path, timeLimit: .seconds(60))
    #expect(result.exitCode == 76 && !result.timedOut && result.survivors == 0, "\(result)")
    #expect(lines(result, ["stalled: rank 0 (pid ", "has been between steps, step 2 for"]).count == 1, "\(result)")
    #expect(
      lines(result, ["rank 1 (pid ", "waits for rank 0", "waiting for gradients of bucket ", "step 3"]).count == 1,
      "\(result)")
  }

  @Test("Ranks that wait for a long evaluation on rank zero are left alone; a short pause is no stall")
  func patience() async throws {
    let run = try MNISTRun()
    try TinyDigits.write(to: run.folder["data"], training: 384, test: 24000)
    let job = try await MPIRunner.start(
      "mnist",
      run.flags + ["--steps", "3", "--evaluate-on", "root", "--evaluate-every", "3", "--stall-timeout", "2"],
      ranks: 2, directory: run.folder.path, timeLimit: .seconds(90))
    #expect(await job.waitForOutput("step 3/3"))
    // Shorter than the timeout, and all together: as a batch system does that suspends a job.
    for rank in 0..<2 { #expect(job.send(signal: SIGSTOP, toRank: rank)) }
    try await Task.sleep(for: .seconds(3))
    for rank in 0..<2 { #expect(job.send(signal: SIGCONT, toRank: rank)) }
    let result = await job.result()
    #expect(result.exitCode == 0 && !result.timedOut, "\(result)")
    #expect(!result.standardError.contains("stalled"), "\(result)")
    // Had the evaluation been short, nothing would have been shown.
    let folder = try #require(try run.runFolders().first)
    let evaluation = try #require(try run.metrics(folder).first { $0["event"] as? String == "evaluation" })
    #expect(try #require(evaluation["evaluation_milliseconds"] as? Double) > 2500, "\(evaluation)")
  }

  @Test("With a timeout of 0 nobody watches")
  func off() async throws {
    let run = try MNISTRun()
    let job = try await MPIRunner.start(
      "mnist", run.flags + ["--steps", "40", "--stall-timeout", "0"], ranks: 2, directory: run.folder.path,
      timeLimit: .seconds(90))
    #expect(await job.waitForOutput("step 2/"))
    #expect(job.send(signal: SIGSTOP, toRank: 1))
    try await Task.sleep(for: .seconds(3))
    #expect(job.send(signal: SIGCONT, toRank: 1))
    let result = await job.result()
    #expect(result.exitCode == 0 && !result.standardError.contains("stalled"), "\(result)")
  }

  @Test("Where the time of a step went adds up to the step", arguments: ["shared", "flat"])
  func shares(exchange: String) async throws {
    let run = try MNISTRun()
    let result = try await run.run(["--steps", "20", "--exchange", exchange, "--log-every", "5"])
    #expect(result.exitCode == 0, "\(result)")
    let metrics = try run.metrics(try #require(try run.runFolders().first))
    let names = ["compute", "data", "update", "communication", "slowest_rank", "other"].map { $0 + "_milliseconds" }
    var summaries = 0
    for line in metrics where ["step", "summary"].contains(line["event"] as? String ?? "") {
      let parts = try names.map { try #require(line[$0] as? Double) }
      let step = try #require(line["step_milliseconds"] as? Double)
      #expect(parts.allSatisfy { $0 >= 0 }, "\(line)")
      // Rank zero's step against the mean of both: they begin and end together but for a moment.
      #expect(abs(parts.reduce(0, +) / step - 1) < 0.1, "\(line)")
      #expect(parts[0] > 0 && parts[2] > 0 && (parts[3] > 0) == (exchange == "flat"), "\(line)")
      if line["event"] as? String == "summary" { summaries += 1 }
    }
    #expect(summaries == 1)
    #expect(result.standardOutput.contains("exposed communication"), "\(result)")
  }
}

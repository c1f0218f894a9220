import Foundation
import TestSupport
import Testing

@Suite("Stopping and resuming", .serialized)
struct ResumeTests {
  /// A run of 40 steps in one go, to compare with.
  private func uninterrupted(_ run: MNISTRun, flags: [String] = []) async throws -> String {
    let result = try await run.run(["--steps", "40", "--output", run.folder["whole"]] + flags)
    #expect(result.exitCode == 0, "\(result)")
    return try #require(try run.runFolders("whole").first)
  }

  @Test("kill -9 of one rank ends the job; --resume auto then gives the bits of a run never interrupted")
  func kill() async throws {
    let run = try MNISTRun()
    let whole = try await uninterrupted(run)
    let job = try await MPIRunner.start(
      "mnist", run.flags + ["--steps", "40"], ranks: 2, directory: run.folder.path, timeLimit: .seconds(120))
    // The checkpoint after step 20 is there: rank 1 dies somewhere behind it.
    #expect(await job.waitForOutput("step-00000020", within: .seconds(60)))
    job.send(signal: SIGKILL, toRank: 1)
    let killed = await job.result()
    #expect(killed.exitCode != 0 && !killed.timedOut, "\(killed)")

    let resumed = try await run.run(["--steps", "40", "--resume", "auto"])
    #expect(resumed.exitCode == 0, "\(resumed)")
    let folders = try run.runFolders()
    #expect(folders.count == 1, "resuming made another run folder: \(folders)")
    #expect(try run.model(whole) == run.model(folders[0]))
    #expect(try run.results(whole) == run.results(folders[0]))
  }

  @Test("SIGUSR1 to mpirun: a checkpoint at one step on all ranks, exit code 75, and the same bits after resuming")
  func userSignal() async throws {
    let run = try MNISTRun()
    let flags = ["--checkpoint-every", "0", "--evaluate-every", "0", "--clip-norm", "0.5"]
    let whole = try await uninterrupted(run, flags: flags)
    let job = try await MPIRunner.start(
      "mnist", run.flags + ["--steps", "40"] + flags, ranks: 2, directory: run.folder.path, timeLimit: .seconds(120))
    #expect(await job.waitForOutput("step 5/", within: .seconds(60)))
    job.send(signal: SIGUSR1)
    let stopped = await job.result()
    #expect(stopped.exitCode == 75, "\(stopped)")
    let resumed = try await run.run(["--steps", "40", "--resume", "auto"] + flags)
    #expect(resumed.exitCode == 0, "\(resumed)")
    #expect(try run.model(whole) == run.model(try #require(try run.runFolders().first)))
  }

  @Test("SIGTERM to a program without mpirun does the same")
  func terminate() async throws {
    let run = try MNISTRun()
    let job = try await MPIRunner.startAlone(
      "mnist", run.flags + ["--steps", "100000"], timeLimit: .seconds(60))
    #expect(await job.waitForOutput("step 3/", within: .seconds(60)))
    job.send(signal: SIGTERM)
    let stopped = await job.result()
    #expect(stopped.exitCode == 75, "\(stopped)")
    let folder = try #require(try run.runFolders().first)
    #expect(try run.metrics(folder).last?["stopped"] as? Bool == true)
    #expect(try !run.model(folder).isEmpty)
  }

  @Test("A damaged newest checkpoint is passed over, with a word, and the one before is taken")
  func damaged() async throws {
    let run = try MNISTRun()
    let whole = try await uninterrupted(run)
    let first = try await run.run(["--steps", "20"])
    #expect(first.exitCode == 0, "\(first)")
    let folder = try #require(try run.runFolders().first)
    let victim = folder + "/checkpoints/step-00000020/model.safetensors"
    var bytes = try Data(contentsOf: URL(fileURLWithPath: victim))
    bytes[bytes.count - 7] ^= 0xff
    try bytes.write(to: URL(fileURLWithPath: victim))
    let resumed = try await run.run(["--steps", "40", "--resume", folder])
    #expect(resumed.exitCode == 0, "\(resumed)")
    #expect(resumed.standardOutput.contains("step-00000020"), "\(resumed)")
    #expect(try run.model(whole) == run.model(folder))
  }

  @Test("A run that is at its end is evaluated again and left as it is")
  func finished() async throws {
    let run = try MNISTRun()
    let first = try await run.run(["--steps", "10"])
    #expect(first.exitCode == 0, "\(first)")
    let folder = try #require(try run.runFolders().first)
    let before = try Data(contentsOf: URL(fileURLWithPath: folder + "/metrics.jsonl"))
    let again = try await run.run(["--steps", "10", "--resume", "auto"])
    #expect(again.exitCode == 0 && again.standardOutput.contains("nothing to train"), "\(again)")
    #expect(try Data(contentsOf: URL(fileURLWithPath: folder + "/metrics.jsonl")) == before)
    #expect(try run.runFolders().count == 1)
  }

  @Test("Resuming from an older checkpoint begins a new run folder and harms nothing")
  func branch() async throws {
    let run = try MNISTRun()
    let first = try await run.run(["--steps", "20"])
    #expect(first.exitCode == 0, "\(first)")
    let folder = try #require(try run.runFolders().first)
    let before = try run.model(folder)
    let resumed = try await run.run(
      ["--steps", "20", "--resume", folder + "/checkpoints/step-00000010", "--output", run.folder["branch"]])
    #expect(resumed.exitCode == 0, "\(resumed)")
    #expect(try run.model(folder) == before)
    #expect(try run.model(try #require(try run.runFolders("branch").first)) == before)
  }

  @Test("Other ranks with the same global batch may continue, with a note; other settings are refused and harm nothing")
  func otherSettings() async throws {
    let run = try MNISTRun()
    let first = try await run.run(["--steps", "10"])
    #expect(first.exitCode == 0, "\(first)")
    let folder = try #require(try run.runFolders().first)
    let before = try run.model(folder)
    for flags in [["--learning-rate", "0.1"], ["--seed", "7"], ["--batch-size", "16"], ["--optimizer", "sgd"]] {
      let refused = try await run.run(["--steps", "20", "--resume", folder] + flags)
      #expect(refused.exitCode != 0 && refused.standardError.contains("cannot resume"), "\(refused)")
    }
    #expect(try run.model(folder) == before)
    let onOneRank = try await run.run(["--steps", "20", "--batch-size", "16", "--resume", folder], ranks: 1)
    #expect(onOneRank.exitCode == 0 && onOneRank.standardOutput.contains("not bit for bit"), "\(onOneRank)")
  }
}

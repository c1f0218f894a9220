import Foundation
import TestSupport
import Testing

@Suite("A whole run of the MNIST example", .serialized)
struct RunTests {
  @Test("Trains, evaluates at x, saves checkpoints, and says so in the run folder", arguments: [1, 2, 3])
  func completes(ranks: Int) async throws {
    let run = try MNISTRun()
    let result = try await run.run(["--steps", "20", "--keep", "1", "--learning-rate", "0.01"], ranks: ranks)
    #expect(result.exitCode == 0, "\(result)")
    let folder = try #require(try run.runFolders().first)
    let metrics = try run.metrics(folder)
    let steps = metrics.filter { $0["event"] as? String == "step" }
    #expect(steps.count == 20)
    for key in [
      "epoch", "loss", "learning_rate", "images_per_second", "step_milliseconds", "exchange_milliseconds", "seconds",
    ] {
      #expect(steps.allSatisfy { $0[key] is Double }, "\(key)")
    }
    let evaluations = metrics.filter { $0["event"] as? String == "evaluation" }
    #expect(evaluations.map { $0["step"] as? Int } == [10, 20])
    #expect(evaluations.allSatisfy { $0["examples"] as? Int == 101 })
    let first = try #require(steps.first?["loss"] as? Double)
    let last = try #require(steps.last?["loss"] as? Double)
    #expect(last < first, "the loss did not fall: \(first) to \(last)")
    #expect(metrics.last?["event"] as? String == "summary")
    let accuracy = try #require(evaluations.last?["accuracy"] as? Double)
    #expect(metrics.last?["accuracy"] as? Double == accuracy)
    // One newest checkpoint is kept, and the best, which may be the same.
    let saved = try FileManager.default.contentsOfDirectory(atPath: folder + "/checkpoints").filter {
      $0.hasPrefix("step-")
    }
    #expect(saved.contains("step-00000020") && saved.count <= 2, "\(saved)")
    #expect(FileManager.default.fileExists(atPath: folder + "/run.json"))
  }

  @Test("Same seed and flags: the same metrics and the same bytes, whatever fixed-order exchange")
  func repeats() async throws {
    let run = try MNISTRun()
    for (index, exchange) in ["shared", "shared", "flat", "allreduce"].enumerated() {
      let result = try await run.run(["--steps", "12", "--exchange", exchange, "--output", run.folder["runs\(index)"]])
      #expect(result.exitCode == 0, "\(result)")
    }
    let folders = try (0..<4).map { try #require(try run.runFolders("runs\($0)").first) }
    #expect(try run.results(folders[0]).count >= 12)
    for other in [1, 2] {
      #expect(try run.results(folders[0]) == run.results(folders[other]))
      #expect(try run.model(folders[0]) == run.model(folders[other]))
    }
    // MPI may sum in another order: the curve is the same to rounding.
    let losses = try [0, 3].map {
      try run.metrics(folders[$0]).compactMap { $0["event"] as? String == "step" ? $0["loss"] as? Double : nil }
    }
    for (a, b) in zip(losses[0], losses[1]) { #expect(abs(a - b) <= 1e-3 * max(a, 1), "\(a) \(b)") }
  }

  @Test("Another seed gives another model")
  func seeds() async throws {
    let run = try MNISTRun()
    for seed in ["1", "2"] {
      let result = try await run.run(["--steps", "2", "--seed", seed, "--output", run.folder["runs" + seed]], ranks: 1)
      #expect(result.exitCode == 0, "\(result)")
    }
    let models = try ["runs1", "runs2"].map { try run.model(try #require(try run.runFolders($0).first)) }
    #expect(models[0] != models[1])
  }

  @Test("Two accumulated batches of 8 are one batch of 16, but for rounding")
  func accumulation() async throws {
    let run = try MNISTRun()
    let common = ["--steps", "6", "--dropout-scale", "0"]
    let once = try await run.run(common + ["--batch-size", "16", "--output", run.folder["once"]])
    let twice = try await run.run(common + ["--accumulate", "2", "--output", run.folder["twice"]])
    #expect(once.exitCode == 0 && twice.exitCode == 0, "\(once)\n\(twice)")
    let losses = try ["once", "twice"].map { output in
      try run.metrics(try #require(try run.runFolders(output).first))
        .compactMap { $0["event"] as? String == "step" ? $0["loss"] as? Double : nil }
    }
    #expect(losses[0].count == 6 && losses[1].count == 6)
    for (a, b) in zip(losses[0], losses[1]) { #expect(abs(a - b) <= 1e-3 * max(a, 1), "\(a) \(b)") }
  }

  @Test("Evaluating on rank zero alone finds the same accuracy as evaluating on all ranks")
  func evaluateOnRoot() async throws {
    let run = try MNISTRun()
    for place in ["all", "root"] {
      let result = try await run.run(
        ["--steps", "5", "--evaluate-on", place, "--output", run.folder[place]], ranks: 3)
      #expect(result.exitCode == 0, "\(result)")
    }
    let summaries = try ["all", "root"].map { try run.metrics(try #require(try run.runFolders($0).first)).last }
    let accuracy = try #require(summaries[0]?["accuracy"] as? Double)
    #expect(summaries[1]?["accuracy"] as? Double == accuracy)
  }

  @Test(
    "The baselines train on the same machinery",
    arguments: [
      ["--optimizer", "adamw", "--schedule", "cosine", "--warmup-steps", "2"],
      ["--optimizer", "sgd", "--momentum", "0.9", "--schedule", "linear", "--learning-rate", "0.05"],
      ["--optimizer", "sgd-schedulefree", "--learning-rate", "0.5"], ["--clip-norm", "0.1"], ["--last-batch", "wrap"],
      ["--batch-size", "1"], ["--label-smoothing", "0.1", "--convolution", "direct"],
    ])
  func variants(flags: [String]) async throws {
    let run = try MNISTRun()
    let result = try await run.run(["--steps", "6"] + flags)
    #expect(result.exitCode == 0, "\(result)")
    let losses = try run.metrics(try #require(try run.runFolders().first)).compactMap { $0["loss"] as? Double }
    #expect(!losses.isEmpty && losses.allSatisfy(\.isFinite))
  }

  @Test("Without mpirun the program is one rank")
  func alone() async throws {
    let run = try MNISTRun()
    let result = try await MPIRunner.runAlone(
      "mnist", run.flags + ["--steps", "3", "--quiet"], timeLimit: .seconds(60))
    #expect(result.exitCode == 0, "\(result)")
    #expect(try run.metrics(try #require(try run.runFolders().first)).last?["event"] as? String == "summary")
  }
}

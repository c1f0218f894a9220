import ArgumentParser
import Checkpoints
import Foundation
import SystemPackage
import TestSupport
import Testing
import Training

@Suite("Bad input is refused in one line, on all ranks, before any work", .serialized)
struct BadInputTests {
  /// Runs on `ranks` ranks, or without mpirun for 0, and expects one line on standard error that holds all of
  /// `words`, and no run folder.
  private func expectRefusal(_ run: MNISTRun, _ flags: [String], _ words: [String], ranks: Int = 2) async throws {
    let result =
      ranks == 0
      ? try await MPIRunner.runAlone("mnist", run.flags + ["--steps", "5"] + flags, directory: run.folder.path)
      : try await run.run(["--steps", "5"] + flags, ranks: ranks)
    #expect(result.exitCode != 0 && result.exitCode < 128 && !result.timedOut, "\(result)")
    #expect(result.survivors == 0, "\(result)")
    let lines = result.standardError.split(separator: "\n").filter { line in words.allSatisfy { line.contains($0) } }
    #expect(lines.count == 1, "expected one line with \(words): \(result)")
    #expect(!result.standardError.contains("Fatal error"), "\(result)")
    #expect(((try? run.runFolders()) ?? []).isEmpty, "a run folder was made")
  }

  @Test(
    "Impossible and contradictory flags, found when they are read",
    arguments: [
      (["--batch-size", "0"], ["--batch-size", "0"]),
      (["--epochs", "3"], ["--steps", "--epochs"]),
      (["--learning-rate=-1"], ["learning-rate", "-1"]),
      (["--beta1", "1.5"], ["beta1", "1.5"]),
      (["--epsilon", "0"], ["epsilon", "0"]),
      (["--momentum", "0.5"], ["momentum", "adamw-schedulefree"]),
      (["--optimizer", "sgd", "--beta2", "0.9"], ["beta2", "sgd"]),
      (["--schedule", "cosine"], ["schedule", "adamw-schedulefree"]),
      (["--optimizer", "nonesuch"], ["nonesuch", "sgd-schedulefree"]),
      (["--clip-norm", "0"], ["--clip-norm", "0"]),
      (["--no-decay", ""], ["--no-decay", "empty"]),
      (["--learning-rate-factor", "conv*"], ["--learning-rate-factor", "conv*"]),
      (["--learning-rate-factor", "conv*=-1"], ["--learning-rate-factor", "conv*=-1"]),
      (["--freeze", "conv*=1.5"], ["--freeze", "conv*=1.5"]),
      (["--freeze", "conv*=-2"], ["--freeze", "conv*=-2"]),
      (["--freeze", "conv*=9223372036854775807"], ["--freeze is conv*=9223372036854775807", "1099511627776"]),
      (["--accumulate", "0"], ["--accumulate", "0"]),
      (["--dropout-scale", "4"], ["--dropout-scale", "4"]),
      (["--dropout-scale=-1"], ["--dropout-scale", "-1"]),
      (["--label-smoothing", "1"], ["--label-smoothing", "1"]),
      (["--log-every", "0"], ["--log-every", "0"]),
      (["--stall-timeout", "1"], ["--stall-timeout", "1", "0 for never"]),
      (["--stall-timeout=-5"], ["--stall-timeout", "-5"]),
      (["--stall-timeout", "nan"], ["--stall-timeout", "nan"]),
      (["--keep", "0"], ["--keep", "0"]),
      (["--exchange", "pigeon"], ["pigeon", "shared"]),
      (["--convolution", "fft"], ["fft", "winograd"]),
      (["--precision", "float16"], ["--precision", "float16", "bfloat16"]),
      (["--without-bfloat16", "guess"], ["--without-bfloat16", "guess", "refuse"]),
      (["--batch-statistics", "node"], ["--batch-statistics", "node", "global"]),
      (["--statistics-batches=-1"], ["--statistics-batches", "-1"]),
      (["--threads-per-rank", "0"], ["--threads-per-rank", "0"]),
      (["--resume", "auto", "--initial-weights", "w.safetensors"], ["--resume", "--initial-weights"]),
    ])
  func flags(flags: [String], words: [String]) throws {
    // What the program does with such an error is the same for all, and is seen below.
    let base = ["--data", "data", "--steps", "5"]
    let error = #expect(throws: (any Error).self) { try TrainingOptions.parse(base + flags) }
    let message = TrainingOptions.message(for: try #require(error))
    #expect(words.allSatisfy { message.contains($0) } && !message.contains("\n"), "\(message)")
  }

  @Test(
    "Flags that are unknown, or do not go with the network, the data or the files",
    arguments: [
      (["--batch-size", "1000"], ["1000", "384"]),
      (["--no-decay", "*.bia"], ["--no-decay", "*.bia", "conv1.weight, conv1.bias"]),
      (["--learning-rate-factor", "nonesuch=2"], ["--learning-rate-factor", "nonesuch", "fc2.bias"]),
      (["--learning-rate-factor", "fc*=1e30"], ["--learning-rate-factor 'fc*=1e+30': learning-rate is"]),
      (
        ["--freeze", "fc*=2", "--optimizer", "sgd", "--schedule", "linear", "--warmup-steps", "3"],
        ["--freeze 'fc*=2': schedule", "3"]
      ),
      (["--freeze", "conv3*=2"], ["--freeze", "conv3*", "conv2.bias"]),
      (["--resume", "nowhere"], ["nowhere", "does not exist"]),
      (["--initial-weights", "nowhere.safetensors"], ["nowhere.safetensors"]),
      (["--data", "nowhere"], ["nowhere", "fetch-data"]),
      (["--learning-rate", "nan"], ["learning-rate", "nan"]),
      (["--nonesuch"], ["--nonesuch"]),
    ])
  func unsuitable(flags: [String], words: [String]) async throws {
    try await expectRefusal(try MNISTRun(), flags, words, ranks: 0)
  }

  @Test("Under mpirun a bad flag is complained of once", arguments: [["--batch-size", "0"], ["--data", "nowhere"]])
  func flagsUnderMPI(flags: [String]) async throws {
    try await expectRefusal(try MNISTRun(), flags, [flags[1] == "0" ? "--batch-size" : "nowhere"], ranks: 3)
  }

  @Test("A file where the output folder should be; a folder that cannot be made")
  func output() async throws {
    let run = try MNISTRun()
    try Data("x".utf8).write(to: URL(fileURLWithPath: run.folder["file"]))
    for place in [run.folder["file"], run.folder["file"] + "/deeper", "/proc/nowhere"] {
      try await expectRefusal(run, ["--output", place], [place.replacing("/deeper", with: "")])
    }
  }

  /// Overwrites bytes of one of the data files.
  private func damage(_ run: MNISTRun, _ file: String, _ change: (inout Data) -> Void) throws {
    let url = URL(fileURLWithPath: run.folder["data/" + file])
    var bytes = try Data(contentsOf: url)
    change(&bytes)
    try bytes.write(to: url)
  }

  @Test("Data files that are cut off, lie, or do not fit together")
  func data() async throws {
    let images = "train-images-idx3-ubyte"
    let labels = "train-labels-idx1-ubyte"
    let damages: [(String, (inout Data) -> Void)] = [
      (images, { $0.removeLast(100) }), (images, { $0[3] = 9 }), (images, { $0[4] = 0x7f }),
      (labels, { $0[20] = 10 }),
      (
        labels,
        {
          $0[7] &-= 1; $0.removeLast()
        }
      ), (labels, { $0 = Data() }),
    ]
    for (file, change) in damages {
      let run = try MNISTRun()
      try damage(run, file, change)
      try await expectRefusal(run, [], [file])
    }
  }

  @Test("Initial weights of another model")
  func weights() async throws {
    let run = try MNISTRun()
    let path = run.folder["other.safetensors"]
    try Safetensors.write(
      [TensorToWrite("conv1.weight", shape: [2, 2], floats: [1, 2, 3, 4])], to: FilePath(path))
    try await expectRefusal(run, ["--initial-weights", path], ["other.safetensors", "conv1"])
    try Data([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 0]).write(to: URL(fileURLWithPath: path))
    try await expectRefusal(run, ["--initial-weights", path], ["other.safetensors", "header"])
  }

  /// Whether this process may mount a small file system. Where it may not, the same is tested on the checkpoint store
  /// alone, by a limit on file sizes, in CheckpointsTests.
  private static func canMount() async -> Bool {
    guard let folder = try? TemporaryFolder() else { return false }
    guard (try? await shell("mount -t tmpfs -o size=1m tmpfs '\(folder.path)'")) == 0 else { return false }
    return (try? await shell("umount '\(folder.path)'")) == 0
  }

  @Test(
    "A disk that fills up while saving ends the run with one line and leaves earlier checkpoints intact",
    .enabled("mounting a small file system takes root") { await canMount() })
  func fullDisk() async throws {
    let run = try MNISTRun()
    let disk = run.folder["disk"]
    try FileManager.default.createDirectory(atPath: disk, withIntermediateDirectories: true)
    // Room for one checkpoint of 14.4 MB and a part of the next.
    try #require(try await Self.shell("mount -t tmpfs -o size=20m tmpfs '\(disk)'") == 0)
    do {
      let result = try await run.run(["--steps", "30", "--output", disk])
      #expect(result.exitCode != 0 && result.exitCode < 128 && !result.timedOut, "\(result)")
      let lines = result.standardError.split(separator: "\n").filter { $0.contains("No space left") }
      #expect(lines.count == 1, "\(result)")
      let folder = try #require(try run.runFolders("disk").first)
      let saved = try FileManager.default.contentsOfDirectory(atPath: folder + "/checkpoints").sorted()
      #expect(saved.contains("step-00000010") && !saved.contains("step-00000020"), "\(saved)")
      let undamaged = try await MPIRunner.runAlone("freewheel", ["inspect", folder], timeLimit: .seconds(60))
      #expect(undamaged.exitCode == 0 && undamaged.standardOutput.contains("step 10"), "\(undamaged)")
    } catch {
      _ = try? await Self.shell("umount -l '\(disk)'")
      throw error
    }
    #expect(try await Self.shell("umount -l '\(disk)'") == 0)
  }

  @Test(
    "Ranks started with different flags end with one line that names the flag",
    arguments: [
      ("--log-every", "1", "2"), ("--steps", "5", "6"), ("--exchange", "shared", "flat"), ("--seed", "1", "2"),
      ("--evaluate-on", "all", "root"), ("--learning-rate", "0.1", "0.2"), ("--precision", "float32", "bfloat16"),
    ])
  func unequalRanks(flag: String, first: String, second: String) async throws {
    let run = try MNISTRun()
    let program = try MPIRunner.locate("mnist")
    let base = ["--data", run.folder["data"], "--output", run.folder["runs"], "--batch-size", "8"]
    let steps = flag == "--steps" ? [] : ["--steps", "5"]
    // The runner adds the first rank's program; mpirun takes further ranks' behind a colon.
    let result = try await MPIRunner.run(
      "mnist", base + steps + [flag, first, ":", "-n", "1", program] + base + steps + [flag, second], ranks: 1,
      directory: run.folder.path, timeLimit: .seconds(60))
    #expect(result.exitCode == 65 && !result.timedOut, "\(result)")
    let name = flag.drop { $0 == "-" }
    let lines = result.standardError.split(separator: "\n").filter { $0.contains("do not agree") && $0.contains(name) }
    #expect(lines.count == 1, "\(result)")
  }

  @Test("A run that diverges ends with one line and saves nothing of it")
  func divergence() async throws {
    let run = try MNISTRun()
    let result = try await run.run(
      ["--optimizer", "sgd", "--learning-rate", "1e8", "--steps", "60", "--evaluate-every", "0"])
    #expect(result.exitCode == 65 && !result.timedOut, "\(result)")
    #expect(result.standardError.split(separator: "\n").filter { $0.contains("diverged") }.count == 1, "\(result)")
    let folder = try #require(try run.runFolders().first)
    let saved = try FileManager.default.contentsOfDirectory(atPath: folder + "/checkpoints")
    #expect(saved.filter { $0.hasPrefix("step-") }.isEmpty, "\(saved)")
  }

  private static func shell(_ command: String) async throws -> Int32 {
    try await MPIRunner.runAlone("/bin/sh", ["-c", command], timeLimit: .seconds(10)).exitCode
  }
}

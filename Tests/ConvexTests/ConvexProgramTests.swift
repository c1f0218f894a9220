import Datasets
import Foundation
import SystemPackage
import TestSupport
import Testing

@testable import convex

/// The program, run by a test in a folder of its own.
struct ConvexProgram {
  let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  /// A small grid on data of its own, with other flags added.
  func flags(_ extra: [String] = [], output: String = "out") -> [String] {
    [
      "--epochs", "3", "--seeds", "2", "--learning-rates", "2^-4,2^-2", "--output", folder[output],
    ] + extra
  }

  func run(_ extra: [String] = [], output: String = "out", ranks: Int = 1) async throws -> JobResult {
    try await MPIRunner.run("convex", flags(extra, output: output), ranks: ranks, directory: folder.path)
  }

  func results(_ output: String = "out", file: String = "results.json") throws -> Data {
    try Data(contentsOf: URL(fileURLWithPath: folder[output] + "/" + file))
  }

  func summary(_ output: String = "out") throws -> Summary {
    try JSONDecoder.snakeCase.decode(Summary.self, from: results(output))
  }

  func runFiles(_ output: String = "out") -> [String] {
    ((try? FileManager.default.contentsOfDirectory(atPath: folder[output] + "/runs")) ?? [])
      .filter { $0.hasSuffix(".json") && !$0.hasPrefix(".") }.sorted()
  }
}

@Suite("The program", .serialized)
struct ConvexProgramTests {
  let program: ConvexProgram
  init() throws { program = try ConvexProgram() }

  /// A file of 61 training examples, not a multiple of the batch size.
  func dataFlags() throws -> [String] {
    let sets = try SyntheticChoices.make(train: 61, test: 23, features: 5, classes: 3, seed: 1)
    return [
      "--data", try program.folder.write("small", sets.train.fileText), "--test",
      try program.folder.write("small.t", sets.test.fileText),
    ]
  }

  @Test("The same file of results every time, on any number of ranks")
  func deterministic() async throws {
    let data = try dataFlags()
    for (output, ranks) in [("once", 1), ("again", 1), ("two", 2), ("three", 3)] {
      let result = try await program.run(data, output: output, ranks: ranks)
      #expect(result.exitCode == 0 && result.standardError.isEmpty, "\(result)")
      #expect(result.standardOutput.contains("Schedule-Free AdamW"), "\(result)")
    }
    let results = try program.results("once")
    let page = try program.results("once", file: "report.html")
    for output in ["again", "two", "three"] {
      #expect(try program.results(output) == results, "\(output)")
      #expect(try program.results(output, file: "report.html") == page, "\(output)")
    }
    // Four plots, each with a line for both methods, and the table.
    let html = String(decoding: page, as: UTF8.self)
    #expect(html.ranges(of: "<svg").count == 4)
    for method in [Method.scheduleFree, .linearDecay] { #expect(html.ranges(of: method.title).count >= 5) }
    #expect(program.runFiles("three").count == 8)
    let summary = try program.summary("once")
    #expect(summary.methods.map(\.method) == [.scheduleFree, .linearDecay])
    #expect(summary.methods.allSatisfy { $0.best?.test != nil && $0.epochs.count == 3 })
    // Another seed is another order of examples.
    let folder = ResultFolder(path: FilePath(program.folder["once"]))
    let runs = [1, 2].map { folder.load(RunKey(method: .scheduleFree, learningRate: 0.25, seed: $0)) }
    #expect(runs[0] != nil && runs[0]?.epochs != runs[1]?.epochs)
  }

  @Test("Two ranks on one run compute what one does, up to the rounding of sums")
  func dataParallel() async throws {
    let data = try dataFlags()
    let alone = try await program.run(data, output: "alone")
    let pair = try await program.run(data + ["--ranks-per-run", "2"], output: "pair", ranks: 2)
    let pairs = try await program.run(data + ["--ranks-per-run", "2"], output: "pairs", ranks: 4)
    for result in [alone, pair, pairs] { #expect(result.exitCode == 0, "\(result)") }
    #expect(try program.results("pairs") == program.results("pair"))
    let (alones, theirs) = (try program.summary("alone").methods, try program.summary("pair").methods)
    for (a, b) in zip(alones, theirs) {
      for (x, y) in zip(a.grid, b.grid) {
        let losses = [try #require(x.train).loss.mean, try #require(y.train).loss.mean]
        #expect(abs(losses[0] - losses[1]) < 1e-4)
      }
    }
  }

  @Test("A grid that was killed goes on where it stopped, to the same results")
  func interrupted() async throws {
    let grid = ["--epochs", "30", "--seeds", "5"]
    let whole = try await program.run(grid, output: "whole")
    #expect(whole.exitCode == 0, "\(whole)")

    let job = try await MPIRunner.start("convex", program.flags(grid), ranks: 2, directory: program.folder.path)
    let deadline = ContinuousClock.now + .seconds(30)
    while program.runFiles().count < 3, ContinuousClock.now < deadline { try await Task.sleep(for: .milliseconds(2)) }
    job.killAll()
    _ = await job.result()
    let before = program.runFiles()
    #expect((3..<20).contains(before.count), "\(before.count) of 20 runs were done when it was killed")
    // One result is damaged besides, as by a machine that lost power.
    try program.folder.write("out/runs/" + before[0], "{\"key\":")
    let times = try before.dropFirst().map { try modificationDate($0) }

    let rest = try await program.run(grid, ranks: 2)
    #expect(rest.exitCode == 0 && rest.standardOutput.contains("\(before.count - 1) of them done before"), "\(rest)")
    #expect(rest.standardOutput.split(separator: "\n").count { $0.contains("is damaged") } == 1, "\(rest)")
    #expect(try program.results() == program.results("whole"))
    let timesAfter = try before.dropFirst().map { try modificationDate($0) }
    #expect(timesAfter == times, "finished runs were done again")
  }

  private func modificationDate(_ file: String) throws -> Date? {
    try FileManager.default.attributesOfItem(atPath: program.folder["out/runs/" + file])[.modificationDate] as? Date
  }

  @Test("More seeds, rates and methods are added to a folder; other settings are refused")
  func growing() async throws {
    #expect(try await program.run().exitCode == 0)
    let more = try await program.run(["--seeds", "3", "--methods", "schedule-free,constant"])
    // 2 rates, 3 seeds, 2 methods; 4 runs of schedule-free were there.
    #expect(more.exitCode == 0 && more.standardOutput.contains("12 runs, 4 of them done before"), "\(more)")
    let untouched = try program.results()
    for (flags, word) in [
      (["--epochs", "4"], "--epochs was '3' and is now '4'"), (["--batch-size", "8"], "--batch-size"),
      (["--scale", "max-abs"], "--data and --test"),
    ] {
      let result = try await program.run(flags)
      #expect(result.exitCode == 1, "\(result)")
      #expect(result.standardError.split(separator: "\n").count { $0.contains(word) } == 1, "\(result)")
    }
    // Settings of a version that did not write the constants down yet, and what a killed process has left.
    let settings = try String(contentsOfFile: program.folder["out/settings.json"], encoding: .utf8)
    let older = settings.components(separatedBy: "\n").filter { !$0.contains("\"beta") }.joined(separator: "\n")
    #expect(older != settings)
    try program.folder.write("out/settings.json", older)
    let leftover = try program.folder.write("out/runs/.constant_0.25_1.json.1", "{")
    let same = try await program.run(["--seeds", "3", "--methods", "schedule-free,constant"])
    #expect(same.exitCode == 0 && same.standardOutput.contains("12 of them done before"), "\(same)")
    #expect(try program.results() == untouched && !FileManager.default.fileExists(atPath: leftover))
    // A result that another version made with another constant.
    let file = "out/runs/schedule-free_0.25_1.json"
    let text = try String(contentsOfFile: program.folder[file], encoding: .utf8)
    let changed = text.replacing("\"beta2\" : \"0.95\"", with: "\"beta2\" : \"0.99\"")
    #expect(changed != text)
    try program.folder.write(file, changed)
    let refused = try await program.run(ranks: 2)
    #expect(refused.exitCode == 1, "\(refused)")
    let words = ["beta2 of schedule-free, learning rate 2^-2, seed 1 was '0.99' and is now '0.95'"]
    #expect(refused.standardError.split(separator: "\n").count { $0.contains(words[0]) } == 1, "\(refused)")
    #expect(try program.results() == untouched)
  }

  @Test("Every method comes to the least loss, found by another solver in double precision")
  func optimum() async throws {
    let data = try SyntheticChoices.make(train: 157, test: 1, features: 5, classes: 3, seed: 5).train
    let least = try ReferenceRegression(data).leastLoss()
    let result = try await program.run([
      "--data", try program.folder.write("data", data.fileText), "--epochs", "100", "--learning-rates", "2^-7..2^-3",
      "--methods", Method.allCases.map(\.rawValue).joined(separator: ","),
    ])
    #expect(result.exitCode == 0, "\(result)")
    let methods = try program.summary().methods
    #expect(methods.map(\.method) == Method.allCases)
    for method in methods {
      let losses = method.grid.compactMap { $0.train?.loss.mean }
      let loss = try #require(losses.min())
      #expect(loss > least - 1e-6 && loss < least + 1e-3, "\(method.method): \(loss), least \(least)")
    }
  }

  @Test("Runs that diverge are counted and never the best")
  func divergence() async throws {
    // A first step of 2^59 a weight makes two hundred products of 3e36 each, whose sum single precision cannot hold.
    let line = (1...200).map { " \($0):5e18" }.joined()
    let text = (0..<40).map { "\($0 % 2)\(line)\n" }.joined()
    let result = try await program.run(
      ["--data", try program.folder.write("huge", text), "--learning-rates", "2^59,2^-40"])
    #expect(result.exitCode == 0, "\(result)")
    let grid = try program.summary().methods[0].grid
    #expect(grid.map(\.divergedRuns) == [0, 2] && grid[0].train != nil && grid[1].train == nil)
  }
}

@Suite("Bad input is refused in one line", .serialized)
struct ConvexBadInputTests {
  let program: ConvexProgram
  init() throws { program = try ConvexProgram() }

  /// Expects exactly one line on standard error that holds all of `words`, and no output folder.
  func expectRefusal(_ flags: [String], _ words: [String], ranks: Int = 0, output: String = "out") async throws {
    let result =
      ranks == 0
      ? try await MPIRunner.runAlone("convex", program.flags(flags, output: output), directory: program.folder.path)
      : try await program.run(flags, output: output, ranks: ranks)
    #expect(result.exitCode != 0 && result.exitCode < 128 && !result.timedOut && result.survivors == 0, "\(result)")
    let lines = result.standardError.split(separator: "\n").filter { line in words.allSatisfy { line.contains($0) } }
    #expect(lines.count == 1, "expected one line with \(words): \(result)")
    #expect(!result.standardError.contains("Fatal error"), "\(result)")
    #expect(program.runFiles(output).isEmpty, "\(result)")
  }

  @Test(
    "Impossible flags",
    arguments: [
      (["--epochs", "0"], ["--epochs", "0"]),
      (["--batch-size", "0"], ["--batch-size", "0"]),
      (["--seeds", "0"], ["--seeds", "0"]),
      (["--learning-rates", "0.1,fast"], ["--learning-rates", "'fast'", "2^-10..2^1"]),
      (["--learning-rates", "0.1,2^60"], ["--learning-rates", "1.15", "0 to 1e+18"]),
      (["--methods", "adam"], ["--methods", "'adam'", "linear-decay"]),
      (["--scale", "big"], ["big", "unit-length"]),
      (["--test", "file"], ["--test needs --data"]),
      (["--ranks-per-run", "0"], ["--ranks-per-run", "0"]),
      (["--data", "nowhere"], ["nowhere", "No such file"]),
      (["--nonesuch"], ["--nonesuch"]),
    ])
  func flags(flags: [String], words: [String]) async throws {
    try await expectRefusal(flags, words)
  }

  @Test("Under mpirun each complaint comes once")
  func underMPI() async throws {
    let bad = try program.folder.write("bad", "1 1:1\n2 1:x\n")
    try await expectRefusal(["--data", bad], [bad, "line 2, column 3", "'1:x'"], ranks: 3)
    try await expectRefusal(["--ranks-per-run", "2"], ["--ranks-per-run is 2", "3 ranks"], ranks: 3)
    try await expectRefusal(["--seeds", "0"], ["--seeds", "0"], ranks: 2)
  }

  @Test("Data that cannot be learnt from")
  func data() async throws {
    let good = try program.folder.write("good", "1 1:1\n2 2:1\n")
    let other = try program.folder.write("other", "1 1:1\n3 2:1\n")
    let alike = try program.folder.write("alike", "1 1:1\n1 2:1\n")
    let wide = try program.folder.write("wide", "1 1:1\n2 2000000000:1\n")
    try await expectRefusal(["--data", alike], [alike, "all 2 examples have the label 1"])
    try await expectRefusal(["--data", wide], [wide, "2000000000 features", "index"])
    try await expectRefusal(["--data", good, "--test", other], [other, "line 2", "'3'", "(1, 2)"])
    try await expectRefusal(["--data", try program.folder.write("empty", "")], ["empty", "no examples"])
  }

  @Test("Output folders that cannot be used")
  func output() async throws {
    try program.folder.write("file", "x")
    try await expectRefusal([], ["file", "cannot be made"], output: "file")
    try FileManager.default.createDirectory(atPath: program.folder["damaged"], withIntermediateDirectories: true)
    try program.folder.write("damaged/settings.json", "{")
    try await expectRefusal([], ["settings.json is damaged"], ranks: 2, output: "damaged")
    let result = try await MPIRunner.runAlone("convex", ["--output", "/proc/nowhere"])
    #expect(result.exitCode == 1, "\(result)")
    #expect(result.standardError.split(separator: "\n").count == 1, "\(result)")
    #expect(result.standardError.contains("/proc/nowhere"), "\(result)")
  }

  @Test("A result that cannot be written ends all ranks with one line; the others' results stay")
  func unwritable() async throws {
    let obstacle = program.folder["out/runs/linear-decay_0.25_1.json"]
    try FileManager.default.createDirectory(atPath: obstacle, withIntermediateDirectories: true)
    let result = try await program.run(ranks: 3)
    #expect(result.exitCode == 1 && !result.timedOut && result.survivors == 0, "\(result)")
    let lines = result.standardError.split(separator: "\n").filter { $0.contains("cannot write") }
    #expect(lines.count == 1 && lines[0].contains("linear-decay_0.25_1.json"), "\(result)")
    #expect(
      try FileManager.default.contentsOfDirectory(atPath: program.folder["out/runs"]).allSatisfy { $0.first != "." })
    try FileManager.default.removeItem(atPath: obstacle)
    let again = try await program.run(ranks: 3)
    #expect(again.exitCode == 0 && again.standardOutput.contains("done before"), "\(again)")
  }

  @Test("Ranks with different flags")
  func unequalRanks() async throws {
    let locate = try MPIRunner.locate("convex")
    let result = try await MPIRunner.run(
      "convex", program.flags(["--seeds", "1", ":", "-n", "1", locate]) + program.flags(["--seeds", "2"]), ranks: 1,
      directory: program.folder.path)
    #expect(result.exitCode == 65 && !result.timedOut, "\(result)")
    #expect(result.standardError.split(separator: "\n").count { $0.contains("--seeds") } == 1, "\(result)")
  }

  @Test("Ranks that find different files under one name")
  func unequalData() async throws {
    let locate = try MPIRunner.locate("convex")
    for (machine, text) in [("first", "1 1:1\n2 2:1\n"), ("second", "1 1:1\n2 2:2\n")] {
      try FileManager.default.createDirectory(atPath: program.folder[machine], withIntermediateDirectories: true)
      try program.folder.write(machine + "/data", text)
    }
    let flags = program.flags(["--data", "data"])
    for (second, agree) in [("second", false), ("first", true)] {
      let result = try await MPIRunner.run(
        "convex", flags + [":", "-n", "1", "-wdir", program.folder[second], locate] + flags, ranks: 1,
        mpirunFlags: ["-wdir", program.folder["first"]])
      #expect(!result.timedOut && (result.exitCode == 0) == agree, "\(result)")
      let lines = result.standardError.split(separator: "\n").count {
        $0.contains("data") && $0.contains("fingerprint")
      }
      #expect(lines == (agree ? 0 : 1), "\(result)")
      #expect(program.runFiles().isEmpty == !agree)
    }
  }
}

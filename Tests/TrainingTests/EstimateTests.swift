import Foundation
import TestSupport
import Testing

@testable import Training
@testable import freewheel

@Suite("freewheel estimate")
struct EstimateTests {
  /// Two buckets of a million elements, ready in the middle and at the end of a backward pass of 20 ms.
  private func model(latency: Double = 0, bandwidth: Double = .infinity, perByte: Double = 0) -> StepModel {
    StepModel(
      profile: StepProfile(
        ranks: 1, nodes: 1, examples: 64, coresPerRank: 2, forward: 0.010, backward: 0.020,
        bucketElements: [1_000_000, 1_000_000], announced: [0.010, 0.020]),
      data: 0.001, update: 0.002, other: 0.0005,
      network: NetworkFigures(latency: latency, bandwidth: bandwidth, processorSecondsPerByte: perByte))
  }

  private func job(
    _ nodes: Int, _ exchange: EstimatedExchange, perNode: Int = 1, wire: Int = 4, cores: Double = 2
  ) -> JobShape {
    JobShape(nodes: nodes, ranksPerNode: perNode, exchange: exchange, wireBytes: wire, coresPerRank: cores)
  }

  private func close(_ a: Double, _ b: Double, within tolerance: Double = 1e-9) -> Bool { abs(a - b) <= tolerance }

  @Test("One host is as it was measured; ranks share its updates, and its cores where these do not suffice")
  func single() {
    let alone = model().estimate(job(1, .twoLevel))
    #expect(close(alone.step, 0.0335) && alone.exposed == 0 && alone.hidden == 1)
    #expect(close(model().estimate(job(1, .twoLevel, perNode: 4)).update, 0.0005))
    let shared = model().estimate(job(1, .twoLevel, cores: 0.5))
    #expect(close(shared.step, 0.067))
  }

  @Test("The flat exchange: bytes over the link, and rounds of latency, one after the other")
  func flat() {
    // 10 MB/s of payload, so that numbers are large: 8 MB of gradients of two buckets, half of it each way.
    let bandwidth = 1e9 / NetworkFigures.payload
    let two = model(latency: 1e-4, bandwidth: bandwidth).estimate(job(2, .flat))
    // Per bucket: half of 4 MB to the owner and half back; a round to scatter and one to gather; and one all-reduce.
    #expect(close(two.exposed, 1e-4 + 2 * (2 * 1e-4 + 4e6 / 1e9)), "\(two)")
    #expect(close(two.bytesPerNode, 8e6))
    #expect(close(two.update, 0.001))
    let four = model(latency: 0, bandwidth: bandwidth).estimate(job(4, .flat))
    #expect(close(four.exposed, 2 * (2 * 3e6 / 1e9)), "\(four)")
    // Two ranks a host: both send to both of the other host, and the ring crosses the link once.
    let pairs = model(latency: 0, bandwidth: bandwidth).estimate(job(2, .flat, perNode: 2))
    #expect(close(pairs.exposed, 2 * (4e6 + 3e6) / 1e9), "\(pairs)")
    let allreduce = model(latency: 0, bandwidth: bandwidth).estimate(job(2, .allreduce))
    #expect(close(allreduce.exposed, 2 * 3 * 2e6 / 1e9), "\(allreduce)")
    // Where processors are slower than the link, they count.
    let slow = model(bandwidth: bandwidth, perByte: 2e-9).estimate(job(2, .flat))
    #expect(close(slow.exposed, 2 * 2 * 4e6 * 2e-9), "\(slow)")
  }

  @Test("Two levels: what fits behind computing costs nothing; a link that is too slow sets the pace")
  func twoLevel() {
    // 2 + 2 MB each way at 10 GB/s: 0.8 ms, behind 30 ms of computing.
    let fast = model(bandwidth: 1e10 / NetworkFigures.payload).estimate(job(2, .twoLevel))
    #expect(close(fast.exposed, 0, within: 4e-4) && fast.hidden > 0.5, "\(fast)")
    #expect(close(fast.bytesPerNode, 8e6))
    // 8 MB at 100 MB/s: 80 ms of link a step. It is idle from the end of the exchange until the first bucket is ready.
    let slow = model(bandwidth: 1e8 / NetworkFigures.payload).estimate(job(2, .twoLevel))
    #expect(slow.step > 0.080 && slow.step < 0.080 + 0.0335, "\(slow)")
    #expect(close(slow.communication, 0.080))
    let narrow = model(bandwidth: 1e8 / NetworkFigures.payload).estimate(job(2, .twoLevel, wire: 2))
    #expect(close(narrow.bytesPerNode, 4e6) && close(narrow.communication, 0.040))
    #expect(narrow.step < slow.step - 0.030)
    // Hiding never costs: it is at least as fast as waiting.
    for bandwidth in [1e7, 1e8, 1e9, 1e10] {
      for nodes in [2, 4, 16] {
        let model = model(latency: 5e-5, bandwidth: bandwidth)
        let (hidden, blocking) = (model.estimate(job(nodes, .twoLevel)), model.estimate(job(nodes, .flat)))
        #expect(hidden.step <= blocking.step, "\(nodes) nodes at \(bandwidth): \(hidden) against \(blocking)")
        for estimate in [hidden, blocking] {
          let parts = estimate.compute + estimate.data + estimate.update + estimate.exposed + estimate.other
          #expect(close(parts, estimate.step) && estimate.exposed >= 0)
        }
      }
    }
  }

  @Test("A communication thread without a core of its own takes time from computing")
  func oneCore() {
    let model = model(perByte: 1e-9)
    let (own, shared) = (model.estimate(job(2, .twoLevel)), model.estimate(job(2, .twoLevel, cores: 1)))
    // 4 messages of 2 MB, sent and received, and half of the update.
    #expect(shared.step > own.step + 0.005 && shared.step < own.step + 0.020, "\(own) \(shared)")
  }

  @Test("Latencies and bandwidths as they are written")
  func quantities() throws {
    for (text, seconds) in [("50us", 5e-5), ("50µs", 5e-5), ("0.1ms", 1e-4)] {
      #expect(close(try #require(Latency(argument: text)?.seconds), seconds, within: 1e-15), "\(text)")
    }
    #expect(Latency(argument: "2s")?.seconds == 2 && Latency(argument: "0us")?.seconds == 0)
    for text in ["50", "us", "-1us", "1e400us", "nanus", ""] { #expect(Latency(argument: text) == nil, "\(text)") }
    #expect(Bandwidth(argument: "100mbit")?.bytesPerSecond == 12.5e6)
    #expect(Bandwidth(argument: "1gbit")?.bytesPerSecond == 125e6)
    #expect(Bandwidth(argument: "12.5GB")?.bytesPerSecond == 12.5e9)
    #expect(Bandwidth(argument: "unlimited")?.bytesPerSecond == .infinity)
    for text in ["100", "0mbit", "-1gbit", "mbit", "fast"] { #expect(Bandwidth(argument: text) == nil, "\(text)") }
  }

  @Test("From a run's folder: the table, the JSON, and that one host comes out as it was measured")
  func fromRun() async throws {
    let run = try MNISTRun()
    let trained = try await run.run(["--steps", "20", "--log-every", "5", "--evaluate-every", "0"])
    #expect(trained.exitCode == 0, "\(trained)")
    let folder = try #require(try run.runFolders().first)
    let file = run.folder["estimate.json"]
    let result = try await MPIRunner.runAlone(
      "freewheel",
      [
        "estimate", folder, "--nodes", "1,2,8", "--latency", "50us", "--bandwidth", "1gbit", "--json", file,
      ])
    #expect(result.exitCode == 0, "\(result)")
    let report = try #require(
      try JSONSerialization.jsonObject(with: Data(contentsOf: URL(fileURLWithPath: file))) as? [String: Any])
    let rows = try #require(report["rows"] as? [[String: Any]])
    #expect(rows.count == 4 * 3)
    #expect(report["measuredRanks"] as? Int == 2)
    let measured = try #require(report["measuredStepMilliseconds"] as? Double)
    let single = try #require(rows[0]["stepMilliseconds"] as? Double)
    #expect(abs(single / measured - 1) < 0.15, "\(single) against \(measured)")
    for row in rows {
      let step = try #require(row["stepMilliseconds"] as? Double)
      let parts = try ["compute", "data", "update", "exposed", "other"].map {
        try #require(row[$0 + "Milliseconds"] as? Double)
      }
      #expect(abs(parts.reduce(0, +) - step) < 1e-6 * step)
      #expect(row["ranksPerNode"] as? Int == 2)
      let efficiency = try #require(row["efficiency"] as? Double)
      #expect(efficiency > 0 && (row["nodes"] as? Int == 1 || efficiency < 1.001), "\(row)")
    }
    #expect(result.standardOutput.split(separator: "\n").count == 4 + rows.count, "\(result)")
  }

  @Test("From a model, measured now", arguments: [1, 2])
  func fromModel(ranks: Int) async throws {
    let result = try await MPIRunner.run(
      "freewheel",
      [
        "estimate", "--model", "mnist", "--batch-size", "4", "--steps", "5", "--latency", "10us", "--bandwidth",
        "unlimited", "--exchange", "flat", "--nodes", "2",
      ], ranks: ranks)
    #expect(result.exitCode == 0, "\(result)")
    #expect(result.standardOutput.contains("ms a step on \(ranks) rank"), "\(result)")
    #expect(
      result.standardOutput.split(separator: "\n").last?.hasPrefix("flat       float32       2") == true, "\(result)")
  }

  @Test(
    "Bad input is refused in words",
    arguments: [
      ([], ["--model"]), (["nowhere"], ["nowhere/metrics.jsonl", "cannot be read"]),
      (["nowhere", "--model", "mnist"], ["either"]), (["--model", "nonesuch"], ["--model", "nonesuch", "resnet20"]),
      (["--model", "mnist", "--nodes", "1,x"], ["--nodes", "1,x"]),
      (["--model", "mnist", "--nodes", "0"], ["--nodes", "0"]),
      (["--model", "mnist", "--exchange", "pigeon"], ["--exchange", "pigeon"]),
      (["--model", "mnist", "--wire", "float8"], ["--wire", "float8"]),
      (["--model", "mnist", "--cores-per-rank", "0"], ["--cores-per-rank", "0"]),
      (["--model", "mnist", "--ranks-per-node", "0"], ["--ranks-per-node", "0"]),
      (["--model", "mnist", "--steps", "0"], ["--steps", "0"]),
      (["--model", "mnist", "--latency", "5"], ["--latency", "5"]),
      (["--model", "mnist", "--bandwidth", "fast"], ["--bandwidth", "fast"]),
    ])
  func refusals(flags: [String], words: [String]) async throws {
    var flags = flags
    if !flags.contains("--latency") { flags += ["--latency", "50us"] }
    if !flags.contains("--bandwidth") { flags += ["--bandwidth", "1gbit"] }
    let result = try await MPIRunner.runAlone("freewheel", ["estimate"] + flags)
    #expect(result.exitCode != 0 && result.exitCode < 128, "\(result)")
    #expect(words.allSatisfy { result.standardError.contains($0) }, "\(result)")
    #expect(result.standardOutput.isEmpty, "\(result)")
  }

  @Test("A run that has not ended, or is of another version, is refused")
  func unfinishedRun() async throws {
    let folder = try TemporaryFolder()
    try Data("{\"event\":\"step\",\"step\":1}\n".utf8).write(to: URL(fileURLWithPath: folder["metrics.jsonl"]))
    let result = try await MPIRunner.runAlone(
      "freewheel", ["estimate", folder.path, "--latency", "50us", "--bandwidth", "1gbit"])
    #expect(result.exitCode == 1 && result.standardError.contains("has no summary"), "\(result)")
  }

  @Test("freewheel benchmark network prints what estimate takes", arguments: [1, 2])
  func network(ranks: Int) async throws {
    let result = try await MPIRunner.run(
      "freewheel", ["benchmark", "network", "--repetitions", "3", "--bytes", "65536"], ranks: ranks)
    #expect(result.exitCode == 0, "\(result)")
    guard ranks == 2 else { return #expect(result.standardOutput.contains("one rank only"), "\(result)") }
    let words = result.standardOutput.split { " ,\n".contains($0) }.map(String.init)
    let latency = try #require(words.firstIndex(of: "latency").map { words[$0 + 1] })
    let bandwidth = try #require(words.firstIndex(of: "bandwidth").map { words[$0 + 1] })
    #expect((Latency(argument: latency)?.seconds ?? 0) > 0 && (Bandwidth(argument: bandwidth)?.bytesPerSecond ?? 0) > 0)
  }
}

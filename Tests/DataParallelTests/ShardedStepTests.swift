import TestSupport
import Testing

/// The checks themselves are in `Tests/Programs/exchange-probe`, which runs under mpirun.
@Suite("The sharded step under mpirun", .serialized)
struct ShardedStepTests {
  private func probe(_ check: String, ranks: Int) async throws {
    let result = try await MPIRunner.run("exchange-probe", [check], ranks: ranks, timeLimit: .seconds(120))
    #expect(result.exitCode == 0 && !result.timedOut, "\(result)")
    #expect(result.standardOutput.contains("ok on \(ranks) ranks"), "\(result)")
  }

  @Test("Shared and flat exchange give the bits of a serial run; all-reduce comes close", arguments: [1, 2, 3, 5])
  func agreement(ranks: Int) async throws { try await probe("agreement", ranks: ranks) }

  @Test("Clipping scales by the norm over all shards; a norm that is not finite is refused", arguments: [1, 2, 3])
  func clipping(ranks: Int) async throws { try await probe("clipping", ranks: ranks) }

  @Test("Evaluation leaves y as it was, and a restored state continues with the same bits", arguments: [1, 2, 3])
  func state(ranks: Int) async throws { try await probe("state", ranks: ranks) }

  @Test("Global sums and losses are added in rank order, with the same bits in any exchange", arguments: [1, 2, 3])
  func sums(ranks: Int) async throws { try await probe("sums", ranks: ranks) }

  @Test("Parameter groups are updated each by its rule, late ones from their step on", arguments: [1, 2, 3])
  func groups(ranks: Int) async throws { try await probe("groups", ranks: ranks) }

  @Test(
    "A loss or gradient that is not finite on one rank is known on all, and leaves no trace where it is skipped",
    arguments: [1, 2, 3])
  func nonFinite(ranks: Int) async throws { try await probe("nonfinite", ranks: ranks) }

  @Test("One rank's wish stops all in the same step", arguments: [1, 2, 3])
  func stop(ranks: Int) async throws { try await probe("stop", ranks: ranks) }

  @Test("Ranks with other settings are found before the first step", arguments: [1, 2, 3])
  func fingerprint(ranks: Int) async throws { try await probe("fingerprint", ranks: ranks) }
}

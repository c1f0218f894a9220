import TestSupport
import Testing

/// Ranks of this machine pretend to be on several nodes, each with a shared window of its own. The checks themselves are
/// in `Tests/Programs/exchange-probe`; they compare with a serial run, so that agreement with the exchange within one
/// node and with the flat one is included.
@Suite("The exchange in two levels under mpirun", .serialized)
struct TwoLevelTests {
  /// The node of each rank, and how nodes exchange.
  struct Shape: Sendable, CustomTestStringConvertible {
    var nodes: String
    var flags: [String] = []
    var ranks: Int { nodes.split(separator: ",").count }
    var testDescription: String { ([nodes] + flags).joined(separator: " ") }

    static let all = [
      Shape(nodes: "0,0,1,1"), Shape(nodes: "0,1,2,3"), Shape(nodes: "0,1,2,3", flags: ["halving"]),
      // Three nodes, and a mapping that takes turns.
      Shape(nodes: "0,1,2"), Shape(nodes: "0,1,0,1", flags: ["after-backward"]),
    ]
    static let large = [
      Shape(nodes: "0,1,2,3,4,5,6,7", flags: ["halving"]), Shape(nodes: "0,1,2,3,0,1,2,3", flags: ["halving"]),
    ]
  }

  private func probe(_ check: String, _ shape: Shape) async throws {
    let result = try await MPIRunner.run(
      "exchange-probe", [check] + shape.flags, ranks: shape.ranks,
      environment: ["FREEWHEEL_PRETENDED_NODES": shape.nodes], timeLimit: .seconds(120))
    #expect(result.exitCode == 0 && !result.timedOut, "\(result)")
    #expect(result.standardOutput.contains("ok on \(shape.ranks) ranks"), "\(result)")
  }

  @Test("y and all state have the bits of a serial run", arguments: Shape.all + Shape.large)
  func agreement(shape: Shape) async throws { try await probe("agreement", shape) }

  @Test("Clipping scales by the norm over all shards; a refused step leaves no trace", arguments: Shape.all)
  func clipping(shape: Shape) async throws { try await probe("clipping", shape) }

  @Test("Evaluation leaves y as it was, and a restored state continues with the same bits", arguments: Shape.all)
  func state(shape: Shape) async throws { try await probe("state", shape) }

  @Test("Global sums and losses are added in rank order", arguments: Shape.all)
  func sums(shape: Shape) async throws { try await probe("sums", shape) }

  @Test("Parameter groups are updated each by its rule", arguments: Shape.all)
  func groups(shape: Shape) async throws { try await probe("groups", shape) }

  @Test("One rank's wish stops all in the same step", arguments: Shape.all)
  func stop(shape: Shape) async throws { try await probe("stop", shape) }

  @Test("Layers that wait for their own parameters see those of the step, however late ranks are", arguments: Shape.all)
  func overlap(shape: Shape) async throws { try await probe("overlap", shape) }

  @Test(
    "With bfloat16 between nodes, pieces and y are rounded and nothing else", arguments: ["0,0,1,1", "0,1,2", "0,0"])
  func wire(nodes: String) async throws { try await probe("wire", Shape(nodes: nodes)) }

  @Test(
    "Ranks agree on a tuning, keep what is given and repeat what was saved", arguments: ["0,0,1,1", "0,1,2,3", "0,0"])
  func tuning(nodes: String) async throws { try await probe("tuning", Shape(nodes: nodes)) }

  @Test(
    "Unequal nodes and numbers of ranks that are no power of two take the flat exchange",
    arguments: ["0,0,0,1", "0,0,0,1,1,1"])
  func unequal(nodes: String) async throws {
    let shape = Shape(nodes: nodes)
    let result = try await MPIRunner.run(
      "exchange-probe", ["agreement"], ranks: shape.ranks, environment: ["FREEWHEEL_PRETENDED_NODES": nodes],
      timeLimit: .seconds(120))
    // The probe asks for the shared exchange, and is told why it gets another.
    #expect(result.exitCode != 0, "\(result)")
    #expect(result.standardError.contains("got flat: using the flat exchange: nodes hold"), "\(result)")
  }
}

import ArgumentParser
import DataParallel

/// The flags for the exchange between nodes: `@OptionGroup var betweenNodes: BetweenNodesFlags`.
public struct BetweenNodesFlags: ParsableArguments, Sendable {
  /// What gradients and y travel as between nodes.
  @Option(
    help: """
      What gradients and y travel as between nodes: \(WireType.allValueStrings.joined(separator: "|")); 'bfloat16' halves \
      the bytes. Sums are float32 in both.
      """)
  public var wire: WireType = .float32

  /// Whether the exchange between nodes goes on while passes compute.
  @Option(
    help: """
      Whether nodes exchange while backward and the next forward pass compute: \
      \(Overlap.allValueStrings.joined(separator: "|")); 'off' is for measurements.
      """)
  public var overlap: Overlap = .on

  /// All values at their defaults.
  public init() {}

  /// Whether the exchange overlaps with computing.
  public enum Overlap: String, ExpressibleByArgument, Sendable, CaseIterable {
    /// Buckets are exchanged as backward finishes them.
    case on
    /// All buckets are exchanged when backward has finished, before the next step.
    case off
  }

  /// As the optimizer takes them.
  var options: InterNodeOptions { InterNodeOptions(wire: wire, overlaps: overlap == .on) }

  /// What ranks must agree on.
  var settings: [(name: String, value: String)] {
    [("--wire", wire.rawValue), ("--overlap", overlap.rawValue)]
  }
}

extension WireType: ExpressibleByArgument {}

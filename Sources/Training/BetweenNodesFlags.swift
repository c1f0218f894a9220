import ArgumentParser
import DataParallel
import MPI
import Neural
import ScheduleFree

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

  /// Bytes that a bucket of gradients grows to; nil: measured where there are several nodes.
  @Option(
    help: """
      Size of a bucket of gradients, such as 256K or 4M. (default: measured at the start of a run on several nodes, \
      else 1M)
      """)
  public var bucketSize: BucketSize?

  /// The way between nodes.
  @Option(
    help: """
      The way between nodes: \(InterNode.allValueStrings.joined(separator: "|")); 'auto' measures at the start of a run, \
      'halving' takes 2, 4, 8, … nodes.
      """)
  public var interNode: InterNode = .auto

  /// All values at their defaults.
  public init() {}

  /// Whether the exchange overlaps with computing.
  public enum Overlap: String, ExpressibleByArgument, Sendable, CaseIterable {
    /// Buckets are exchanged as backward finishes them.
    case on
    /// All buckets are exchanged when backward has finished, before the next step.
    case off
  }

  /// The way between nodes, or that it is to be measured.
  public enum InterNode: String, ExpressibleByArgument, Sendable, CaseIterable {
    /// Each node exchanges with each other one.
    case direct
    /// Recursive halving and doubling.
    case halving
    /// What a short measurement finds quicker.
    case auto
  }

  /// As the optimizer takes them.
  public func options(_ tuning: ExchangeTuning) -> InterNodeOptions {
    InterNodeOptions(wire: wire, overlaps: overlap == .on, algorithm: tuning.algorithm)
  }

  /// Chooses what is not given. Collective.
  ///
  /// - Parameters:
  ///   - sizeIsFree: whether the size of buckets may be chosen by a measurement: where sums over all parameters are
  ///     taken, their last bits follow from it.
  ///   - saved: what a resumed run went on with.
  /// - Returns: the choice, and, where it was measured, a line that says so.
  /// - Throws: `MPIError`, `DataParallelError`.
  public func tuning(
    elementCount: Int, tensorOffsets: [Int], sizeIsFree: Bool = true, saved: ExchangeTuning? = nil,
    on communicator: Communicator
  ) throws -> (tuning: ExchangeTuning, notice: String?) {
    let fixed = bucketSize?.count ?? (sizeIsFree || saved != nil ? nil : BucketLayout.defaultTargetCount)
    let tuner = ExchangeTuner(
      elementCount: elementCount, tensorOffsets: tensorOffsets, options: InterNodeOptions(wire: wire),
      bucketCount: fixed, algorithm: InterNodeAlgorithm(rawValue: interNode.rawValue), saved: saved)
    let (tuning, isMeasured) = try tuner.choose(on: communicator)
    guard tuning.nodes > 1 else { return (tuning, nil) }
    return (tuning, "exchange: \(tuning)" + (isMeasured ? ", as measured" : ""))
  }

  /// What ranks must agree on.
  var settings: [(name: String, value: String)] {
    [
      ("--wire", wire.rawValue), ("--overlap", overlap.rawValue), ("--inter-node", interNode.rawValue),
      ("--bucket-size", bucketSize.map { "\($0.count)" } ?? "default"),
    ]
  }
}

/// A size of buckets on a command line: bytes, or K or M of them.
public struct BucketSize: ExpressibleByArgument, Sendable, Equatable {
  /// Floats in it.
  public var count: Int

  /// Reads `65536`, `256K` or `1M`; nil for others, and for less than 1 KiB or more than 4 GiB.
  public init?(argument: String) {
    let units = ["K": 1 << 10, "M": 1 << 20]
    let unit = units[argument.suffix(1).uppercased()]
    guard let number = Int(unit == nil ? argument[...] : argument.dropLast()), number > 0, number <= 1 << 32 else {
      return nil
    }
    let bytes = number * (unit ?? 1)
    guard bytes >= 1 << 10, bytes <= 1 << 32 else { return nil }
    count = bytes / MemoryLayout<Float>.stride
  }

  /// As it is read, in KiB.
  public var defaultValueDescription: String { "\(count * MemoryLayout<Float>.stride / 1024)K" }
}

extension WireType: ExpressibleByArgument {}

extension TrainingOptions {
  /// How gradients of a plan are cut and exchanged. Collective.
  ///
  /// - Parameter saved: what a resumed run went on with, on rank zero.
  func tuning(
    for plan: Plan, rule: any UpdateRule, saved: ExchangeTuning?, on world: Communicator
  ) throws -> (tuning: ExchangeTuning, notice: String?) {
    let saved = try world.broadcast(value: SavedTuning(tuning: saved), root: 0).tuning
    guard exchange == .shared else {
      let count = betweenNodes.bucketSize?.count ?? saved?.bucketCount ?? BucketLayout.defaultTargetCount
      return (ExchangeTuning(bucketCount: count, nodes: 1, ranks: world.size), nil)
    }
    return try betweenNodes.tuning(
      elementCount: plan.layout.count, tensorOffsets: plan.layout.tensors.map(\.offset),
      sizeIsFree: clipNorm == nil && rule.globalSums.isEmpty, saved: saved, on: world)
  }
}

/// To be sent where there may be none.
private struct SavedTuning: Codable {
  var tuning: ExchangeTuning?
}

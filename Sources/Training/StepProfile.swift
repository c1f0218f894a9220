import Foundation

/// A step as it was measured, in as much detail as is needed to say how long it would take on other hosts: the seconds
/// of its parts, and when gradients become ready. Means over ranks and steps.
public struct StepProfile: Sendable, Equatable, Codable {
  /// Ranks, and nodes that they are on.
  public var ranks: Int, nodes: Int
  /// Examples of a step, over all ranks.
  public var examples: Int
  /// Cores that a rank had for itself; less than 1 where ranks took turns.
  public var coresPerRank: Double
  /// Seconds of the forward and of the backward passes of a step.
  public var forward: Double, backward: Double
  /// Elements of each bucket, in the order in which backward finishes them.
  public var bucketElements: [Int]
  /// Seconds from the beginning of the last backward pass of a step to the announcement of each bucket.
  public var announced: [Double]

  /// Describes a step.
  public init(
    ranks: Int, nodes: Int, examples: Int, coresPerRank: Double, forward: Double, backward: Double,
    bucketElements: [Int], announced: [Double]
  ) {
    (self.ranks, self.nodes, self.examples, self.coresPerRank) = (ranks, nodes, examples, coresPerRank)
    (self.forward, self.backward) = (forward, backward)
    (self.bucketElements, self.announced) = (bucketElements, announced)
  }
}

import DataParallel
import MPI

/// The parts that each global batch is divided into, and which of them this rank computes.
///
/// What a run computes follows from its lanes, not from its ranks: each lane has its part of the batch, of the test set
/// and its own running statistics, and whatever is added up over lanes is added in lane order, or in the tree of
/// gradients. How many ranks share the lanes then changes no bit.
struct Lanes: Sendable, Equatable {
  /// Lanes of the run.
  let count: Int
  /// Lanes that each rank computes, one after the other; a power of two.
  let perRank: Int
  /// The first lane of this rank.
  let first: Int

  /// The lanes of this rank.
  var own: Range<Int> { first..<(first + perRank) }

  /// Divides lanes over ranks.
  ///
  /// - Parameter count: lanes of the run; nil: one a rank.
  /// - Throws: ``TrainingError/lanes(lanes:ranks:)``, the same on every rank.
  init(_ count: Int?, on world: Communicator) throws {
    let count = count ?? world.size
    guard count % world.size == 0, (count / world.size).nonzeroBitCount == 1 else {
      throw TrainingError.lanes(lanes: count, ranks: world.size)
    }
    self.count = count
    perRank = count / world.size
    first = world.rank * perRank
  }

  /// Adds up rows of numbers over all lanes, in lane order in double precision: the same bits on every rank and for
  /// every number of ranks. Collective; allocates, so not for a step.
  ///
  /// - Parameter rows: one row for each of this rank's lanes, all of one length.
  /// - Throws: `MPIError`.
  func sum(_ rows: [[Double]], on world: Communicator) throws -> [Double] {
    let all = try gather(rows.flatMap(\.self), on: world)
    let width = all.count / count
    var sums = [Double](repeating: 0, count: width)
    for lane in 0..<count {
      for index in 0..<width { sums[index] += all[lane * width + index] }
    }
    return sums
  }

  /// Numbers of all lanes, in lane order. Collective; allocates.
  ///
  /// - Parameter own: as many numbers for each of this rank's lanes.
  /// - Throws: `MPIError`.
  func gather(_ own: [Double], on world: Communicator) throws -> [Double] {
    var all = [Double](repeating: 0, count: own.count * world.size)
    try own.withUnsafeBufferPointer { own in
      try all.withUnsafeMutableBufferPointer { try world.allGather(own, into: $0) }
    }
    return all
  }
}

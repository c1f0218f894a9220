import MPI

/// How gradients reach the owners of their shards, and how updated parameters come back.
public enum ExchangeKind: String, Sendable, CaseIterable {
  /// Gradients and parameters live in memory that the ranks of a node share: reducing is reading. Between nodes a
  /// thread exchanges the nodes' sums while the ranks compute. Sums in the fixed tree.
  case shared
  /// Pieces are exchanged with `MPI_Alltoallv` and `MPI_Allgatherv` over all ranks. Sums in the same fixed tree.
  case flat
  /// `MPI_Allreduce`, the simplest correct version: the yardstick, and what to debug against. MPI chooses the order
  /// of sums.
  case allreduce
}

/// The pieces of one bucket's gradient that are to be summed by the owner of a slice.
struct GradientPieces {
  /// One pointer per piece, each to the first element of the slice.
  var pointers: UnsafePointer<UnsafePointer<Float>>
  /// The number of pieces: the number of ranks, or one where the sum has been taken already.
  var count: Int
}

/// How many numbers the sums of a step take: those that update rules ask for, and the loss. An exchange has room for
/// so many at least.
let maximumSumCount = 16

/// What is written into the arena of y outside a step.
enum SharedPoint {
  /// y, where gradients are taken: rounded where it travels rounded in a step.
  case gradient
  /// x, to be evaluated or saved: to the last bit.
  case evaluation
}

/// One way of moving gradients and parameters between ranks. All methods but ``announce(step:bucketCount:)`` are
/// collective and are called in the same order on every rank; none allocates memory.
protocol Exchange: AnyObject {
  /// Which of the ways to choose from this is.
  var kind: ExchangeKind { get }

  /// Its name, for people.
  var label: String { get }

  /// This rank's gradient arena, written by its backward pass.
  var gradients: UnsafeMutablePointer<Float> { get }

  /// The arena of y: each rank writes its shard and reads the whole.
  var parameters: UnsafeMutablePointer<Float> { get }

  /// Whether this rank fills the arena of y at the start: one of the ranks that share it does.
  var fillsParameters: Bool { get }

  /// Seconds this rank has waited for others since the counter was last set to zero.
  var waitSeconds: Double { get set }

  /// Tells the other ranks that the first `bucketCount` buckets of step `step` hold final gradients and that this
  /// rank reads their parameters no more in this step.
  func announce(step: Int, bucketCount: Int)

  /// Adds up rows of numbers over the lanes, in lane order in double precision: the same bits on every rank, in every
  /// exchange, however many ranks the lanes are divided over. As many calls per step as are needed, of the same sizes
  /// on every rank.
  ///
  /// - Parameters:
  ///   - values: `rows` rows of `count` numbers, one behind the other; the first receives the sums. In all at most as
  ///     many numbers as the exchange was made for.
  ///   - count: numbers to add up.
  ///   - rows: how many this rank adds to each of them: one per lane, in lane order.
  func sum(_ values: UnsafeMutablePointer<Double>, count: Int, rows: Int) throws

  /// Makes slices of parameters written outside a step visible to all ranks, after waiting until no rank reads the
  /// old ones.
  func shareParameters(_ point: SharedPoint, _ write: () -> Void) throws

  /// Gives shared memory back; nothing may be touched afterwards. Collective.
  func close() throws
}

/// An exchange that begins when backward has finished, and is driven bucket by bucket.
protocol SteppedExchange: Exchange {
  /// Called once a step after backward and before the first ``pieces(step:bucket:)``: hands in this rank's votes.
  func beginExchange(step: Int, votes: StepVotes) throws

  /// Waits until every rank has announced `bucket`, and gives the pieces of this rank's slice of it.
  func pieces(step: Int, bucket: Int) throws -> GradientPieces

  /// Makes this rank's updated slice of `bucket` visible to the others, at the latest when ``finish(step:)`` returns.
  func publish(step: Int, bucket: Int) throws

  /// Returns when the parameters of all ranks have been published and every gradient arena may be overwritten.
  ///
  /// - Parameter votes: this rank's votes, with what has turned up since ``beginExchange(step:votes:)``. An exchange
  ///   that has agreed by then leaves that out.
  /// - Returns: the votes of all ranks in this step; the same on every rank.
  func finish(step: Int, votes: StepVotes) throws -> StepVotes
}

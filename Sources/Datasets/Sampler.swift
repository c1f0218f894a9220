/// Says which examples make up which batch.
///
/// An epoch is one permutation of all examples, a function of (seed, epoch) alone; global batch b is its b-th slice,
/// and ranks and lanes take consecutive parts of that slice. So what a run sees does not depend on the number of ranks,
/// and a resumed run needs no more than (seed, epoch, batch) to go on where it stopped.
public struct Sampler: Sendable {
  /// What happens to the examples that do not fill a last batch.
  public enum LastBatch: String, Sendable, CaseIterable {
    /// They are left out of this epoch (another epoch's permutation leaves out others).
    case drop
    /// The batch is filled up from the start of the same epoch's permutation.
    case wrap
  }

  /// The number of examples that an epoch permutes.
  public let exampleCount: Int
  /// Examples in a global batch: over all ranks.
  public let globalBatchSize: Int
  /// Key of the permutations.
  public let seed: UInt64
  /// Whether epochs are permuted; if not, every epoch runs in the data set's own order.
  public let shuffle: Bool
  /// What happens to the examples that do not fill a last batch.
  public let lastBatch: LastBatch
  /// Batches in an epoch; at least one.
  public let batchesPerEpoch: Int
  /// The epoch whose batches ``indices(batch:positions:)`` returns.
  public private(set) var epoch: Int

  /// The epoch's permutation; when wrapping, followed by its start, so that every batch lies in one piece.
  private var order: [UInt32]

  /// Checks the sizes and prepares epoch 0.
  ///
  /// - Parameters:
  ///   - exampleCount: size of the data set, 1 to 2^32 - 1.
  ///   - globalBatchSize: examples per step over all ranks, at least 1.
  ///   - seed: key of the permutations.
  ///   - shuffle: false for the data set's own order.
  ///   - lastBatch: what to do with a last batch that is not full.
  /// - Throws: ``DatasetError`` if a size is impossible, or if dropping would leave no batch at all.
  public init(
    exampleCount: Int, globalBatchSize: Int, seed: UInt64, shuffle: Bool = true, lastBatch: LastBatch = .drop
  ) throws {
    guard exampleCount > 0 else {
      throw DatasetError(.argument, "\(exampleCount) examples to sample from; at least 1 was expected")
    }
    guard exampleCount <= UInt32.max else {
      throw DatasetError(.argument, "\(exampleCount) examples to sample from; at most \(UInt32.max) can be indexed")
    }
    guard globalBatchSize > 0 else {
      throw DatasetError(.argument, "a global batch of \(globalBatchSize) examples; at least 1 was expected")
    }
    guard globalBatchSize <= UInt32.max else {
      throw DatasetError(.argument, "a global batch of \(globalBatchSize) examples; at most \(UInt32.max) can be had")
    }
    if lastBatch == .drop, globalBatchSize > exampleCount {
      throw DatasetError(
        .argument,
        "a global batch of \(globalBatchSize) is larger than the data set of \(exampleCount), so that dropping the "
          + "last partial batch leaves none: use a smaller batch size, fewer ranks, or let the last batch wrap")
    }
    self.exampleCount = exampleCount
    self.globalBatchSize = globalBatchSize
    self.seed = seed
    self.shuffle = shuffle
    self.lastBatch = lastBatch
    let full = exampleCount / globalBatchSize
    batchesPerEpoch = lastBatch == .wrap && exampleCount % globalBatchSize != 0 ? full + 1 : full
    order = [UInt32](repeating: 0, count: max(exampleCount, batchesPerEpoch * globalBatchSize))
    epoch = 0
    fillOrder()
  }

  /// Makes the permutation of `epoch`, in memory that is already there; about a millisecond for 60,000 examples.
  public mutating func prepare(epoch: Int) {
    guard epoch != self.epoch else { return }
    self.epoch = epoch
    fillOrder()
  }

  /// The examples of the current epoch's global batch `batch` at `positions`; allocates nothing.
  ///
  /// - Parameters:
  ///   - batch: 0 ..< ``batchesPerEpoch``.
  ///   - positions: a part of 0 ..< ``globalBatchSize``; see ``positions(rank:of:)``.
  /// - Returns: indices below ``exampleCount``. Let go of the slice before the next ``prepare(epoch:)``, which would
  ///   otherwise have to copy what the slice still holds.
  public func indices(batch: Int, positions: Range<Int>) -> ArraySlice<UInt32> {
    precondition(batch >= 0 && batch < batchesPerEpoch, "batch \(batch) of an epoch of \(batchesPerEpoch)")
    precondition(
      positions.lowerBound >= 0 && positions.upperBound <= globalBatchSize,
      "positions \(positions) in a batch of \(globalBatchSize)")
    let start = batch * globalBatchSize
    return order[(start + positions.lowerBound)..<(start + positions.upperBound)]
  }

  /// The positions in a global batch that belong to `rank` of `size` ranks (or lanes): consecutive, in order, the first
  /// ones one longer where the batch does not divide.
  public func positions(rank: Int, of size: Int) -> Range<Int> {
    evaluationShare(count: globalBatchSize, rank: rank, of: size)
  }

  private mutating func fillOrder() {
    let (exampleCount, shuffle) = (exampleCount, shuffle)
    var random = Philox(seed: seed, domain: .permutation, subject: UInt64(bitPattern: Int64(epoch)))
    order.withUnsafeMutableBufferPointer { order in
      var index = 0
      while index < exampleCount {
        order[index] = UInt32(truncatingIfNeeded: index)
        index += 1
      }
      // Fisher and Yates' shuffle in Durstenfeld's form (Knuth, TAOCP 2, 3.4.2, algorithm P).
      var last = exampleCount - 1
      while shuffle, last > 0 {
        let other = Int(random.next(below: UInt32(truncatingIfNeeded: last) + 1))
        let moved = order[last]
        order[last] = order[other]
        order[other] = moved
        last -= 1
      }
      index = exampleCount
      while index < order.count {
        order[index] = order[index - exampleCount]
        index += 1
      }
    }
  }
}

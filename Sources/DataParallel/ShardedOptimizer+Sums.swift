import MPI
import Monitoring

// What must be known of all parameters before an update: the norm of the gradient, and sums that rules ask for.

extension ShardedOptimizer {
  /// Takes all sums that must be known before an update.
  ///
  /// - Returns: the norm of the gradient where that is needed, and the factor of clipping.
  func takeSums(_ laneLosses: UnsafePointer<Double>?) throws -> (norm: Double?, scale: Float) {
    try reduce()
    let norm = clipNorm != nil || skips ? try norm() : nil
    try takeTotals(laneLosses)
    guard let clipNorm, let norm, norm > clipNorm else { return (norm, 1) }
    return (norm, Float(clipNorm / norm))
  }

  /// Sums the ranks' gradients of this rank's shard, where they are needed as a whole.
  private func reduce() throws {
    if let twoLevel { return try twoLevel.awaitReduced(step: exchangeStep) }
    guard let stepped, update.reducedGradient != nil else { return }
    for bucket in layout.buckets.indices {
      update.reduce(bucket: bucket, try pieces(ofBucket: bucket, stepped))
    }
  }

  /// The norm of the whole gradient, from squares added in double precision, over the lanes in lane order.
  private func norm() throws -> Double {
    totals.update(repeating: 0, count: lanesPerRank)
    update.addSquares(to: totals)
    recorder.main.enter(.summing)
    try exchange.sum(totals, count: 1, rows: lanesPerRank)
    let norm = totals[0].squareRoot()
    guard norm.isFinite else {
      try abandonStep()
      throw DataParallelError.nonFiniteGradient(norm: norm, step: step + 1)
    }
    return norm
  }

  /// Adds up what the rules must know of all parameters, in one small collective, into the first row of ``totals``. The
  /// gradient counts as it is before clipping.
  ///
  /// The bits are the same on every rank, in the shared and the flat exchange, and on any number of ranks that the
  /// lanes are divided over. But they follow from the cuts: each segment is added up on its own, then the segments of a
  /// lane's portions in their order, then lanes in theirs. Other groups, buckets or numbers of lanes can change the
  /// last bits.
  private func takeTotals(_ laneLosses: UnsafePointer<Double>?) throws {
    let count = sumCount + (sumsLosses ? 1 : 0)
    guard count > 0 else { return }
    totals.update(repeating: 0, count: lanesPerRank * count)
    if sumCount > 0 { update.addSums(to: totals, rowCount: count) }
    if let laneLosses, sumsLosses {
      for lane in 0..<lanesPerRank { totals[lane * count + sumCount] = laneLosses[lane] }
    }
    recorder.main.enter(.summing)
    try exchange.sum(totals, count: count, rows: lanesPerRank)
    for index in 0..<count where !totals[index].isFinite {
      let value = totals[index]
      try abandonStep()
      guard index < sumCount else { throw DataParallelError.nonFiniteLoss(value: value, step: step + 1) }
      throw DataParallelError.nonFiniteTotal(name: globalSums[index].name, value: value, step: step + 1)
    }
  }
}

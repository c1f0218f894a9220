/// The part of `count` examples that falls to `rank` of `size` ranks: consecutive, disjoint, together all of them, each
/// exactly once. The first `count % size` ranks get one example more; with more ranks than examples, some get none.
///
/// - Parameters:
///   - count: the number of examples, at least 0.
///   - rank: 0 ..< size.
///   - size: the number of ranks, at least 1.
/// - Returns: a range within 0 ..< count, possibly empty.
public func evaluationShare(count: Int, rank: Int, of size: Int) -> Range<Int> {
  precondition(count >= 0 && size > 0 && rank >= 0 && rank < size, "no share of \(count) for rank \(rank) of \(size)")
  let (base, extra) = (count / size, count % size)
  let start = rank * base + min(rank, extra)
  return start..<(start + base + (rank < extra ? 1 : 0))
}

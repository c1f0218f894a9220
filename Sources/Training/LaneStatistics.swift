import Neural

/// The running statistics of each lane of this rank.
///
/// They follow the batches of one lane, as those of a rank do that computes one lane only. A rank with several keeps a
/// set for each, and puts into the plan that of the lane at hand; a rank with one lane leaves them in the plan. Where
/// steps may be skipped, those from before the step are kept as well.
final class LaneStatistics {
  private let plan: Plan
  private let laneCount: Int
  private let width: Int
  /// One set a lane, owned by this object; nothing for a rank with one lane, or a network without such statistics.
  private let sets: UnsafeMutablePointer<Float>
  private let isNeeded: Bool
  /// One set a lane from before the step at hand, owned by this object; nil where no step is skipped.
  private let previous: UnsafeMutablePointer<Float>?

  /// - Parameters:
  ///   - laneCount: lanes of this rank; each starts from the statistics that the plan has.
  ///   - keepsPrevious: whether ``revert()`` is ever asked for.
  init(plan: Plan, laneCount: Int, keepsPrevious: Bool) {
    self.plan = plan
    self.laneCount = laneCount
    width = plan.statisticsCount
    isNeeded = laneCount > 1 && width > 0
    previous = keepsPrevious && width > 0 ? .allocate(capacity: laneCount * width) : nil
    previous?.initialize(repeating: 0, count: laneCount * width)
    sets = .allocate(capacity: isNeeded ? laneCount * width : 1)
    if isNeeded {
      for lane in 0..<laneCount {
        (sets + lane * width).initialize(repeating: 0, count: width)
        plan.saveRunningStatistics(to: sets + lane * width)
      }
    }
  }

  deinit {
    sets.deallocate()
    previous?.deallocate()
  }

  /// Puts the statistics of a lane, counted from this rank's first, into the plan, which goes on from them.
  func begin(lane: Int) {
    if isNeeded { plan.loadRunningStatistics(from: sets + lane * width) }
    if let previous { plan.saveRunningStatistics(to: previous + lane * width) }
  }

  /// Keeps what the plan has as those of the lane.
  func end(lane: Int) {
    if isNeeded { plan.saveRunningStatistics(to: sets + lane * width) }
  }

  /// Forgets what the step at hand has added, in all lanes.
  func revert() {
    guard let previous else { return }
    plan.loadRunningStatistics(from: previous)
    if isNeeded { sets.update(from: previous, count: laneCount * width) }
  }

  /// The statistics of each lane of this rank.
  var rows: [[Float]] {
    get {
      guard isNeeded else { return [[Float]](repeating: plan.runningStatistics, count: laneCount) }
      return (0..<laneCount).map { Array(UnsafeBufferPointer(start: sets + $0 * width, count: width)) }
    }
    set {
      precondition(newValue.count == laneCount && newValue.allSatisfy { $0.count == width })
      plan.runningStatistics = newValue[0]
      guard isNeeded else { return }
      for (lane, row) in newValue.enumerated() {
        for (index, value) in row.enumerated() { sets[lane * width + index] = value }
      }
    }
  }
}

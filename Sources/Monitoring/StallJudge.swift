/// What a watchdog knows of a rank.
struct RankView: Sendable {
  /// What the rank is called.
  var identity: Watchdog.Peer
  /// Whether anything was ever heard of it. Of a rank on another host, nothing may get through a firewall.
  var isKnown = true
  /// Seconds since its watchdog last gave a sign of life.
  var silence = 0.0
  /// What it did then.
  var main = LaneState()
  /// Seconds since that last changed.
  var mainAge = 0.0
  /// What its communication thread did.
  var communication = LaneState(phase: .idle)
  /// Seconds since that last changed.
  var communicationAge = 0.0

  var rank: Int { identity.rank }
}

/// What is wrong with a job that does not go on. Ranks are in ascending order.
enum Verdict: Equatable, Sendable {
  /// These ranks give no sign of life: stopped, or their host is down or cut off.
  case silent([Int])
  /// These live, but have been in a phase that waits for nobody for too long.
  case stuck([Int])
  /// All wait for each other.
  case waiting
}

/// Decides from what is known of all ranks whether a job still goes on. Arithmetic only.
struct StallJudge: Sendable {
  /// Seconds without a sign of life, or without progress, after which a rank is given up.
  var limit: Double
  /// A phase of unknown length may last so many times as long.
  static let openEndedFactor = 10.0

  /// - Parameters:
  ///   - ranks: all that is known.
  ///   - seesAll: whether these are all ranks of the job; if not, nothing can be said about who waits for whom.
  /// - Returns: nil while there is hope.
  func verdict(on ranks: [RankView], seesAll: Bool) -> Verdict? {
    let present = ranks.filter { $0.main.phase != .done }
    let silent = present.filter { $0.isKnown && $0.silence > limit }
    if !silent.isEmpty { return .silent(silent.map(\.rank)) }
    let stuck = present.filter { $0.isKnown && isStuck($0) }
    if !stuck.isEmpty { return .stuck(stuck.map(\.rank)) }
    guard seesAll, !present.isEmpty, present.allSatisfy(isWaitingInVain) else { return nil }
    return .waiting
  }

  /// Ranks whose long phase a person should know of, though it may be all right.
  func slow(_ ranks: [RankView]) -> [RankView] {
    ranks.filter { $0.isKnown && $0.main.phase.isOpenEnded && $0.mainAge > limit }
  }

  private func isStuck(_ rank: RankView) -> Bool {
    func isStuck(_ lane: LaneState, _ age: Double) -> Bool {
      !lane.phase.isWaiting && lane.phase != .done
        && age > limit * (lane.phase.isOpenEnded ? Self.openEndedFactor : 1)
    }
    return isStuck(rank.main, rank.mainAge) || isStuck(rank.communication, rank.communicationAge)
  }

  /// A rank of which nothing was ever heard may be in a long phase: its silence counts after the time that such a phase
  /// may take.
  private func isWaitingInVain(_ rank: RankView) -> Bool {
    guard rank.isKnown else { return rank.silence > limit * Self.openEndedFactor }
    return rank.main.phase.isWaiting && rank.mainAge > limit
      && (rank.communication.phase == .idle || rank.communicationAge > limit)
  }

  /// The ranks that a waiting rank waits for: those that have not come as far.
  static func awaited(by rank: RankView, among ranks: [RankView]) -> [RankView] {
    guard rank.main.phase.isWaiting else { return [] }
    return ranks.filter { other in
      guard other.rank != rank.rank, other.isKnown, other.main.phase != .done else { return false }
      if other.main.step != rank.main.step { return other.main.step < rank.main.step }
      switch rank.main.phase {
      case .waiting: return other.main.announced <= rank.main.bucket
      case .summing, .agreeing: return !other.main.phase.isWaiting
      default: return other.main.isBehind(rank.main)
      }
    }
  }
}

extension LaneState {
  /// Whether this comes before `other` in the same step.
  fileprivate func isBehind(_ other: LaneState) -> Bool {
    let (own, others) = (phase.place, other.phase.place)
    if own != others { return own < others }
    if phase.hasBucket && other.phase.hasBucket && bucket != other.bucket { return bucket < other.bucket }
    return phase.rawValue < other.phase.rawValue
  }
}

extension Phase {
  /// Where in a step a phase lies; those that alternate bucket by bucket lie at one place.
  fileprivate var place: Int {
    switch self {
    case .waiting, .exchanging, .updating, .publishing: Int(Phase.waiting.rawValue)
    default: Int(rawValue)
    }
  }
}

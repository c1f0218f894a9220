import Foundation

/// A verdict in words for people, one line each.
struct StallReport {
  /// What the watchdog knows.
  let ranks: [RankView]
  /// The rank that speaks.
  let speaker: Int
  /// `--stall-timeout` in seconds.
  let timeout: Double

  /// Lines for ranks that wait are given for so many ranks at most.
  static let longest = 16

  /// What is wrong, who waits for whom, and what happens next.
  func lines(for verdict: Verdict) -> [String] {
    var lines: [String]
    let culprits: [RankView]
    switch verdict {
    case .silent(let numbers):
      culprits = ranks.filter { numbers.contains($0.rank) }
      lines = silentLines(culprits)
    case .stuck(let numbers):
      culprits = ranks.filter { numbers.contains($0.rank) }
      lines = culprits.prefix(Self.longest).map { "stalled: \(name($0)) \(stuckWords($0)), without coming further" }
    case .waiting:
      culprits = []
      lines = [
        "stalled: all ranks wait for each other: messages between them are lost, or they do not do the same"
      ]
    }
    let waiting = ranks.filter { rank in
      rank.isKnown && rank.main.phase != .done && !culprits.contains { $0.rank == rank.rank }
    }
    lines += waiting.prefix(Self.longest).map { waitingLine($0, culprits: culprits) }
    if waiting.count > Self.longest { lines.append("  and \(waiting.count - Self.longest) more ranks") }
    lines.append(
      "ending the job with exit code \(Watchdog.exitCode) (--stall-timeout \(plain(timeout))); "
        + "--resume auto goes on from the newest checkpoint")
    return lines
  }

  /// A phase that takes long, though it may be all right.
  func note(on rank: RankView) -> String {
    "\(name(rank)) has been \(place(rank.main)) for \(seconds(rank.mainAge)), and the others wait for it; given up "
      + "after \(plain(timeout * StallJudge.openEndedFactor)) s"
  }

  /// One line for each rank, or for a host whose ranks are all silent.
  private func silentLines(_ silent: [RankView]) -> [String] {
    let own = ranks.first { $0.rank == speaker }?.identity
    var lines: [String] = []
    var told: Set<Int> = []
    for rank in silent where !told.contains(rank.rank) {
      let neighbours = ranks.filter { $0.identity.node == rank.identity.node }
      let silentNeighbours = neighbours.filter { neighbour in silent.contains { $0.rank == neighbour.rank } }
      if silentNeighbours.count == neighbours.count, let own, own.node != rank.identity.node {
        told.formUnion(silentNeighbours.map(\.rank))
        let quiet = silentNeighbours.map(\.silence).min() ?? 0
        lines.append(
          "stalled: host \(rank.identity.host) has not answered \(own.host) for \(seconds(quiet)): it is down, cut off "
            + "from the network, or all of its ranks were stopped; "
            + silentNeighbours.prefix(Self.longest).map { "\(name($0)) was \(place($0.main))" }.joined(separator: ", "))
      } else {
        lines.append(
          "stalled: \(name(rank)) has not answered for \(seconds(rank.silence)): the process was stopped; "
            + "it was \(place(rank.main))")
      }
    }
    return lines
  }

  private func waitingLine(_ rank: RankView, culprits: [RankView]) -> String {
    let main = rank.main
    guard main.phase.isWaiting else {
      return "  \(name(rank)) is \(place(main)), for \(seconds(rank.mainAge))"
    }
    let awaited = StallJudge.awaited(by: rank, among: ranks)
    let named = awaited.isEmpty ? culprits : awaited
    let whom = named.isEmpty ? "others" : list(named.map(\.rank))
    var line = "  \(name(rank)) waits for \(whom): \(place(main)), for \(seconds(rank.mainAge))"
    let communication = rank.communication
    if communication.phase != .idle {
      line += "; its communication thread is \(place(communication))"
    }
    return line
  }

  /// `waiting for gradients of bucket 2, step 31`
  private func place(_ lane: LaneState) -> String {
    var text = lane.phase.words
    if lane.phase.hasBucket { text += " of bucket \(lane.bucket)" }
    if lane.step > 0 { text += ", step \(lane.step)" }
    return text
  }

  private func stuckWords(_ rank: RankView) -> String {
    let isMain = !rank.main.phase.isWaiting && rank.mainAge >= rank.communicationAge
    guard isMain || rank.communication.phase.isWaiting else {
      return "has its communication thread \(place(rank.communication)) for \(seconds(rank.communicationAge))"
    }
    return "has been \(place(rank.main)) for \(seconds(rank.mainAge))"
  }

  /// `rank 1 (pid 4711 on node2)`
  private func name(_ rank: RankView) -> String {
    "rank \(rank.rank) (pid \(rank.identity.process) on \(rank.identity.host))"
  }

  /// `rank 3`, `ranks 1, 2 and 3`
  private func list(_ numbers: [Int]) -> String {
    let shown = numbers.prefix(Self.longest).map(String.init)
    guard numbers.count > 1 else { return "rank \(shown.first ?? "?")" }
    if numbers.count > shown.count {
      return "ranks \(shown.joined(separator: ", ")) and \(numbers.count - shown.count) more"
    }
    return "ranks \(shown.dropLast().joined(separator: ", ")) and \(shown.last ?? "")"
  }

  private func seconds(_ value: Double) -> String { String(format: value < 10 ? "%.1f s" : "%.0f s", value) }
  private func plain(_ value: Double) -> String { String(format: "%g", value) }
}

import Atomics
internal import CMonitoring
import Foundation
import Glibc

/// What a watchdog's thread does. Belongs to that thread.
final class WatchLoop {
  private let configuration: Watchdog.Configuration
  private let wake: Int32
  private let stopFlag: ManagedAtomic<Bool>
  private let say: @Sendable ([String]) -> Void

  private let own: Watchdog.Peer
  /// The ranks whose records this process sees, itself among them.
  private let local: [Watchdog.Peer]
  /// The monitors among the ranks.
  private let monitors: [Watchdog.Peer]
  /// Seconds between two looks.
  private let tick: Double
  private let judge: StallJudge
  /// What was heard of ranks whose records cannot be seen, by rank.
  private var heard: [Int: (heartbeat: Heartbeat, time: Int)] = [:]
  private var started = monotonicNanoseconds()
  /// The thread itself did not run before this, or not for long; what others did not do in that time says nothing.
  private var resumed = monotonicNanoseconds()
  private var lastLook = monotonicNanoseconds()
  private var notedSlow: Set<Int> = []
  private var notedUnheard = false

  init(
    _ configuration: Watchdog.Configuration, wake: Int32, stopFlag: ManagedAtomic<Bool>,
    say: @escaping @Sendable ([String]) -> Void
  ) {
    self.configuration = configuration
    self.wake = wake
    self.stopFlag = stopFlag
    self.say = say
    let peers = configuration.peers
    let own = peers[configuration.rank]
    self.own = own
    let neighbours = peers.filter { $0.node == own.node }
    local = configuration.records.count == neighbours.count ? neighbours : [own]
    // One on the first host and one on the last; of several processes that share no memory, the first and the last.
    let other = peers.last { $0.node != peers[0].node && $0.localRank == 0 } ?? peers[peers.count - 1]
    monitors = configuration.socket == nil || other.rank == 0 ? [peers[0]] : [peers[0], other]
    let tick = min(1, configuration.timeout / 16)
    self.tick = tick
    // Before the time is up, so that mpirun can end the rest within it. Who knows most speaks first.
    let place = monitors.firstIndex { $0.rank == own.rank } ?? 2
    let reserve = min(Double(Self.patience) + 2, configuration.timeout / 4)
    judge = StallJudge(limit: configuration.timeout - reserve + tick * Double(place))
  }

  private var isMonitor: Bool { monitors.contains { $0.rank == own.rank } }
  private var ownRecord: ProgressRecord {
    configuration.records[local.count == 1 && configuration.records.count == 1 ? 0 : own.localRank]
  }

  /// Looks around once a tick until it is told to stop.
  func run() {
    while !stopFlag.load(ordering: .relaxed) {
      look()
      sleep()
    }
    // This rank has left: its silence is no bad sign from now on. Three times, as a datagram may be lost.
    let now = monotonicNanoseconds()
    ownRecord.main.phase.store(Phase.done.rawValue, ordering: .relaxed)
    ownRecord.communication.phase.store(Phase.idle.rawValue, ordering: .relaxed)
    for _ in 0..<3 { sendHeartbeats(at: now) }
  }

  /// Waits for the next tick, or for the order to stop; takes in what arrives meanwhile.
  private func sleep() {
    let deadline = lastLook + Int(tick * 1e9)
    while true {
      let rest = deadline - monotonicNanoseconds()
      guard rest > 0, !stopFlag.load(ordering: .relaxed) else { return }
      var waitedFor = [
        pollfd(fd: wake, events: Int16(POLLIN), revents: 0),
        pollfd(fd: configuration.socket?.descriptor ?? -1, events: Int16(POLLIN), revents: 0),
      ]
      _ = poll(&waitedFor, 2, Int32(rest / 1_000_000 + 1))
      receive()
    }
  }

  private func look() {
    let now = monotonicNanoseconds()
    // The whole job may have been suspended, or the machine; then nobody is late but for us all.
    if seconds(now - lastLook) > max(5 * tick, 0.5 * judge.limit) { resumed = now }
    lastLook = now
    ownRecord.heartbeat.store(now, ordering: .relaxed)
    receive()
    sendHeartbeats(at: now)
    sendObituaries(at: now)
    let views = self.views(at: now)
    noteSlowPhases(views)
    noteUnheard(at: now)
    guard let verdict = judge.verdict(on: judged(views), seesAll: views.count == configuration.peers.count) else {
      return
    }
    end(verdict, views)
  }

  // MARK: - What is known

  private func seconds(_ nanoseconds: Int) -> Double { Double(nanoseconds) * 1e-9 }

  /// What is known of all ranks that this one hears of.
  private func views(at now: Int) -> [RankView] {
    let isFirst = seconds(now - started)
    let sinceResumed = seconds(now - resumed)
    func age(_ moment: Int) -> Double { max(0, min(seconds(now - moment), sinceResumed)) }
    var views: [RankView] = []
    for peer in configuration.peers {
      if let index = local.firstIndex(where: { $0.rank == peer.rank }) {
        let record = configuration.records[local.count == 1 && configuration.records.count == 1 ? 0 : index]
        let beat = record.heartbeat.load(ordering: .relaxed)
        let (main, communication) = (record.main.state, record.communication.state)
        views.append(
          RankView(
            identity: peer, isKnown: beat > 0, silence: beat > 0 ? age(beat) : isFirst, main: main,
            mainAge: age(main.changed), communication: communication, communicationAge: age(communication.changed)))
      } else if let (heartbeat, time) = heard[peer.rank] {
        let silence = age(time)
        views.append(
          RankView(
            identity: peer, silence: silence, main: heartbeat.main,
            mainAge: min(seconds(heartbeat.mainAge) + silence, sinceResumed), communication: heartbeat.communication,
            communicationAge: min(seconds(heartbeat.communicationAge) + silence, sinceResumed)))
      } else if isMonitor {
        views.append(RankView(identity: peer, isKnown: false, silence: sinceResumed))
      }
    }
    return views
  }

  /// What this rank may judge. One that is no monitor hears of its own node and of the monitors: as long as one of them
  /// answers, that one sees more.
  private func judged(_ views: [RankView]) -> [RankView] {
    guard !isMonitor else { return views }
    let distant = views.filter { !isLocal($0.identity) }
    let isAbandoned = !distant.isEmpty && distant.allSatisfy { $0.silence > judge.limit }
    return isAbandoned ? views : views.filter { isLocal($0.identity) }
  }

  // MARK: - Messages

  private func heartbeat(of rank: Int, _ record: ProgressRecord, at now: Int, _ purpose: Heartbeat.Purpose) -> Heartbeat
  {
    let (main, communication) = (record.main.state, record.communication.state)
    return Heartbeat(
      token: configuration.token, rank: rank, purpose: purpose, main: main, mainAge: now - main.changed,
      communication: communication, communicationAge: now - communication.changed)
  }

  /// To the monitors; by a monitor, to all. Ranks that see this one's record need none.
  private func sendHeartbeats(at now: Int, _ purpose: Heartbeat.Purpose = .life) {
    guard let socket = configuration.socket else { return }
    let heartbeat = heartbeat(of: own.rank, ownRecord, at: now, purpose)
    for peer in isMonitor ? configuration.peers : monitors where !isLocal(peer) {
      socket.send(heartbeat, to: peer.addresses)
    }
  }

  /// Tells the monitors where a silent rank of this node is: what they heard of it last is a tick old.
  private func sendObituaries(at now: Int) {
    guard let socket = configuration.socket else { return }
    for (index, peer) in local.enumerated() where peer.rank != own.rank {
      let record = configuration.records[index]
      let beat = record.heartbeat.load(ordering: .relaxed)
      guard beat > 0, seconds(now - beat) > 3 * tick else { continue }
      let obituary = heartbeat(of: peer.rank, record, at: now, .obituary)
      for monitor in monitors where !isLocal(monitor) { socket.send(obituary, to: monitor.addresses) }
    }
  }

  private func isLocal(_ peer: Watchdog.Peer) -> Bool { local.contains { $0.rank == peer.rank } }

  private func receive() {
    guard let socket = configuration.socket else { return }
    while let heartbeat = socket.receive(token: configuration.token) {
      guard configuration.peers.indices.contains(heartbeat.rank) else { continue }
      switch heartbeat.purpose {
      case .end: endSilently()
      case .life: heard[heartbeat.rank] = (heartbeat, monotonicNanoseconds())
      case .obituary:
        // Ages are as of now; those of `heard` as of when the rank itself was last heard.
        guard let time = heard[heartbeat.rank]?.time else { continue }
        let since = monotonicNanoseconds() - time
        var last = heartbeat
        last.mainAge = max(0, heartbeat.mainAge - since)
        last.communicationAge = max(0, heartbeat.communicationAge - since)
        heard[heartbeat.rank] = (last, time)
      }
    }
  }

  // MARK: - What is said and done

  private func report(_ views: [RankView]) -> StallReport {
    StallReport(ranks: views, speaker: own.rank, timeout: configuration.timeout)
  }

  /// Tells once, from rank zero, of a phase that takes long.
  private func noteSlowPhases(_ views: [RankView]) {
    guard own.rank == 0 else { return }
    for view in judge.slow(views) where !notedSlow.contains(view.rank) {
      notedSlow.insert(view.rank)
      // Ranks that start together are slow together.
      guard notedSlow.count == 1 else { continue }
      say(["note: " + report(views).note(on: view)])
    }
  }

  /// Tells once, from rank zero, of hosts from which nothing comes through.
  private func noteUnheard(at now: Int) {
    guard own.rank == 0, !notedUnheard, seconds(now - started) > max(5 * tick, 2) else { return }
    notedUnheard = true
    let unheard = configuration.peers.filter { !isLocal($0) && heard[$0.rank] == nil }
    guard !unheard.isEmpty else { return }
    var hosts: [String] = []
    for peer in unheard where !hosts.contains(peer.host) { hosts.append(peer.host) }
    say([
      "note: the watchdog of \(own.host) hears nothing from \(hosts.joined(separator: ", ")): are UDP datagrams between "
        + "the hosts blocked? Ranks there that stop are found by the others' waiting only, which takes longer"
    ])
  }

  private func end(_ verdict: Verdict, _ views: [RankView]) {
    let isSpeaker = configuration.records[0].verdict
      .compareExchange(expected: 0, desired: 1, ordering: .relaxed).exchanged
    guard isSpeaker else { endSilently() }
    say(report(views).lines(for: verdict))
    for _ in 0..<3 { sendHeartbeats(at: monotonicNanoseconds(), .end) }
    exitProcess()
  }

  /// mpirun ends the job when a process ends with such a code. But where a host is cut off it then waits for that
  /// host's daemon, and the daemon for it: so both are given a few seconds, and killed, as are ranks of this node that
  /// nobody else has ended by then. (Asked to end, mpirun of Open MPI 4.1 says that it is ending already.)
  private func exitProcess() -> Never {
    let parent = getppid()
    let name = (try? String(contentsOfFile: "/proc/\(parent)/comm", encoding: .utf8)) ?? ""
    let launchers = ["mpirun", "mpiexec", "orterun", "orted", "prterun", "prted"]
    if launchers.contains(where: { name.hasPrefix($0) }) {
      let processes = [parent] + local.map(\.process).filter { $0 != own.process }
      fw_kill_after(processes, Int32(processes.count), Self.patience)
    }
    _exit(Watchdog.exitCode)
  }

  /// Another rank ends the job and says why. Should it not come to that, this one ends too.
  private func endSilently() -> Never {
    _ = poll(nil, 0, 3000)
    exitProcess()
  }

  /// Seconds that mpirun has to end the job.
  private static let patience: UInt32 = 8
}

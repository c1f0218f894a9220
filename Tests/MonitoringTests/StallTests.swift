import Testing

@testable import Monitoring

@Suite("What a watchdog concludes, and says")
struct StallTests {
  private let judge = StallJudge(limit: 10)

  /// Four ranks, two on each of two hosts, all in the backward pass of step 31 just now.
  private func ranks(_ change: (inout [RankView]) -> Void) -> [RankView] {
    var ranks = (0..<4).map { rank in
      RankView(
        identity: Watchdog.Peer(
          rank: rank, node: rank / 2, localRank: rank % 2, host: "node\(rank / 2)", process: Int32(100 + rank)),
        main: LaneState(phase: .backward, step: 31, bucket: 0, announced: 1))
    }
    change(&ranks)
    return ranks
  }

  private func wait(_ rank: inout RankView, _ phase: Phase, bucket: Int = 0, for age: Double) {
    rank.main = LaneState(phase: phase, step: 31, bucket: bucket, announced: 4)
    rank.mainAge = age
  }

  private func report(_ ranks: [RankView], _ verdict: Verdict, speaker: Int = 0) -> [String] {
    StallReport(ranks: ranks, speaker: speaker, timeout: 12).lines(for: verdict)
  }

  @Test("A job that goes on is left alone, however long some wait for one that makes progress")
  func healthy() {
    #expect(judge.verdict(on: ranks { _ in }, seesAll: true) == nil)
    let evaluating = ranks {
      $0[0].main.phase = .evaluating
      $0[0].mainAge = 0.1
      for rank in 1..<4 { wait(&$0[rank], .agreeing, for: 1000) }
    }
    #expect(judge.verdict(on: evaluating, seesAll: true) == nil)
    let saving = ranks {
      $0[0].main.phase = .saving
      $0[0].mainAge = 90
      for rank in 1..<4 { wait(&$0[rank], .awaitingCheckpoint, for: 90) }
    }
    #expect(judge.verdict(on: saving, seesAll: true) == nil)
    #expect(judge.slow(saving).map(\.rank) == [0])
  }

  @Test("A rank that has stopped is named, with who waits for it and where")
  func silent() throws {
    let ranks = ranks {
      $0[1].silence = 11
      $0[1].mainAge = 11
      $0[1].main.announced = 2
      wait(&$0[0], .waiting, bucket: 2, for: 10.7)
      wait(&$0[2], .waiting, bucket: 1, for: 0.2)
      wait(&$0[3], .exchanging, bucket: 3, for: 10.8)
    }
    let verdict = judge.verdict(on: ranks, seesAll: true)
    #expect(verdict == .silent([1]))
    let lines = report(ranks, try #require(verdict))
    #expect(lines.count == 5, "\(lines)")
    #expect(lines[0].contains("rank 1 (pid 101 on node0) has not answered for 11 s"), "\(lines)")
    #expect(lines[0].contains("in the backward pass, step 31"), "\(lines)")
    #expect(
      lines[1].contains("rank 0 (pid 100 on node0) waits for rank 1: waiting for gradients of bucket 2, step 31"),
      "\(lines)")
    #expect(lines[3].contains("rank 3 (pid 103 on node1) waits for ranks 0, 1 and 2"), "\(lines)")
    #expect(lines[4].contains("exit code 76") && lines[4].contains("--stall-timeout 12"), "\(lines)")
  }

  @Test("A host of which no rank answers is named as one; a part of a host is not")
  func host() throws {
    let ranks = ranks {
      for rank in 2..<4 { $0[rank].silence = 12 }
      for rank in 0..<2 { wait(&$0[rank], .exchanging, bucket: 0, for: 12) }
    }
    let verdict = try #require(judge.verdict(on: ranks, seesAll: true))
    #expect(verdict == .silent([2, 3]))
    let lines = report(ranks, verdict)
    #expect(lines.filter { $0.contains("has not answered") }.count == 1, "\(lines)")
    #expect(lines[0].contains("host node1 has not answered node0 for 12 s"), "\(lines)")
    #expect(lines[0].contains("pid 102") && lines[0].contains("pid 103"), "\(lines)")
    // Seen from the host itself its ranks were stopped, for the network is not between them.
    let own = report(ranks, .silent([2]), speaker: 3)
    #expect(own[0].contains("rank 2 (pid 102 on node1) has not answered"), "\(own)")
  }

  @Test("A rank that hangs while others wait is to blame, they are not; open-ended phases have longer")
  func stuck() throws {
    let hanging = ranks {
      $0[2].mainAge = 11
      for rank in [0, 1, 3] { wait(&$0[rank], .finishing, for: 11) }
    }
    let verdict = try #require(judge.verdict(on: hanging, seesAll: true))
    #expect(verdict == .stuck([2]))
    let lines = report(hanging, verdict)
    #expect(lines[0].contains("rank 2 (pid 102 on node1) has been in the backward pass, step 31 for 11 s"), "\(lines)")
    #expect(lines[1].contains("waits for rank 2: waiting for updated parameters"), "\(lines)")
    let saving = ranks {
      $0[0].main.phase = .saving
      $0[0].mainAge = 101
    }
    #expect(judge.verdict(on: saving, seesAll: true) == .stuck([0]))
    let thread = ranks {
      $0[1].communication = LaneState(phase: .updating, step: 31, bucket: 1)
      $0[1].communicationAge = 11
      for rank in 0..<4 { wait(&$0[rank], .finishing, for: 11) }
    }
    let threadVerdict = try #require(judge.verdict(on: thread, seesAll: true))
    #expect(threadVerdict == .stuck([1]))
    #expect(
      report(thread, threadVerdict)[0].contains("communication thread updating its shard of bucket 1, step 31"))
  }

  @Test("When all wait for each other only one who sees all may say so")
  func deadlock() throws {
    let ranks = ranks { for rank in 0..<4 { wait(&$0[rank], .exchanging, bucket: 1, for: 11) } }
    #expect(judge.verdict(on: ranks, seesAll: false) == nil)
    let verdict = try #require(judge.verdict(on: ranks, seesAll: true))
    #expect(verdict == .waiting)
    #expect(report(ranks, verdict)[0].contains("all ranks wait for each other"))
    var one = ranks
    one[3].mainAge = 1
    #expect(judge.verdict(on: one, seesAll: true) == nil)
    // Nothing was ever heard of one: it may be in a long phase.
    one[3].isKnown = false
    one[3].silence = 50
    #expect(judge.verdict(on: one, seesAll: true) == nil)
    one[3].silence = 101
    #expect(judge.verdict(on: one, seesAll: true) == .waiting)
  }

  @Test("Ranks that have left, or of which nothing was ever heard, are not missed")
  func absent() {
    let gone = ranks {
      $0[1].main.phase = .done
      $0[1].silence = 100
      $0[2].isKnown = false
      $0[2].silence = 15
    }
    #expect(judge.verdict(on: gone, seesAll: true) == nil)
  }

  @Test("A report on many ranks stays short")
  func many() {
    var ranks: [RankView] = (0..<1000).map { rank in
      RankView(
        identity: Watchdog.Peer(
          rank: rank, node: rank / 100, localRank: rank % 100, host: "n\(rank / 100)", process: 9),
        main: LaneState(phase: .finishing, step: 3), mainAge: 20)
    }
    for rank in 300..<400 { ranks[rank].silence = 20 }
    let verdict = judge.verdict(on: ranks, seesAll: true)
    #expect(verdict == .silent(Array(300..<400)))
    let lines = report(ranks, .silent(Array(300..<400)))
    #expect(lines.count == 1 + StallReport.longest + 2)
    #expect(lines.contains { $0.contains("and 884 more ranks") })
  }
}

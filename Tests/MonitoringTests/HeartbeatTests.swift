import Testing

@testable import Monitoring

@Suite("Heartbeats")
struct HeartbeatTests {
  private let heartbeat = Heartbeat(
    token: 0xfeed_0123_4567_89ab, rank: 1027, purpose: .obituary,
    main: LaneState(phase: .waiting, step: 1 << 40, bucket: 3, announced: 7), mainAge: 5_000_000_000,
    communication: LaneState(phase: .exchanging, step: 12, bucket: 2, announced: 0), communicationAge: 17)

  private func bytes(of heartbeat: Heartbeat) -> [UInt8] {
    var bytes = [UInt8](repeating: 0xff, count: Heartbeat.byteCount)
    bytes.withUnsafeMutableBytes { heartbeat.write(to: $0) }
    return bytes
  }

  private func read(_ bytes: [UInt8], token: UInt64 = 0xfeed_0123_4567_89ab) -> Heartbeat? {
    bytes.withUnsafeBytes { Heartbeat($0, token: token) }
  }

  @Test("What is sent is what is received")
  func roundTrip() {
    #expect(read(bytes(of: heartbeat)) == heartbeat)
  }

  @Test("Datagrams of another job, of another length, or with unknown phases are none")
  func foreign() {
    let sent = bytes(of: heartbeat)
    #expect(read(sent, token: 1) == nil)
    #expect(read(Array(sent.dropLast())) == nil)
    #expect(read(sent + [0]) == nil)
    #expect(read([]) == nil)
    var other = sent
    other[0] ^= 1
    #expect(read(other) == nil)
    other = sent
    other[32] = 200
    #expect(read(other) == nil)
    other = sent
    other[24] = 3
    #expect(read(other) == nil)
  }

  @Test("A process reaches itself at an address it tells others")
  func socket() throws {
    let (a, b) = (try HeartbeatSocket(), try HeartbeatSocket())
    #expect(!b.addresses.isEmpty && b.addresses.allSatisfy { $0.port != 0 })
    let local = HeartbeatAddress(host: UInt32(0x7F00_0001).bigEndian, port: try #require(b.addresses.first).port)
    #expect(b.receive(token: heartbeat.token) == nil)
    a.send(heartbeat, to: [local])
    var received: Heartbeat?
    for _ in 0..<1000 where received == nil { received = b.receive(token: heartbeat.token) }
    #expect(received == heartbeat)
  }
}

/// What a rank tells ranks on other hosts, in one datagram: that it lives, and where it is.
struct Heartbeat: Equatable {
  /// Of the job: a datagram of something else, or of an earlier job, is not mistaken for one of this.
  var token: UInt64
  var rank: Int
  var purpose = Purpose.life
  var main: LaneState
  /// Nanoseconds since `main` last changed: clocks of hosts differ, so moments cannot be sent.
  var mainAge: Int
  var communication: LaneState
  var communicationAge: Int

  /// Why it is sent.
  enum Purpose: UInt64 {
    /// The sender lives.
    case life
    /// The sender is about to end the job: whoever hears it ends without a word.
    case end
    /// Sent by a neighbour that sees the record of the rank, which is silent itself: where it is, no sign of its life.
    case obituary
  }

  /// Bytes of a datagram.
  static let byteCount = wordCount * 8
  private static let wordCount = 14
  /// "FWHB1" in front of every datagram.
  private static let magic: UInt64 = 0x31_4248_5746

  /// Writes the datagram.
  func write(to bytes: UnsafeMutableRawBufferPointer) {
    var words: [UInt64] = [
      Self.magic, token, UInt64(truncatingIfNeeded: rank), purpose.rawValue,
    ]
    for (lane, age) in [(main, mainAge), (communication, communicationAge)] {
      words += [
        UInt64(lane.phase.rawValue), UInt64(truncatingIfNeeded: lane.step), UInt64(truncatingIfNeeded: lane.bucket),
        UInt64(truncatingIfNeeded: lane.announced), UInt64(truncatingIfNeeded: age),
      ]
    }
    for (index, word) in words.enumerated() {
      bytes.storeBytes(of: word.littleEndian, toByteOffset: index * 8, as: UInt64.self)
    }
  }

  /// Reads a datagram; nil if it is none of this job.
  init?(_ bytes: UnsafeRawBufferPointer, token: UInt64) {
    guard bytes.count == Self.byteCount else { return nil }
    let words = (0..<Self.wordCount).map {
      UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: $0 * 8, as: UInt64.self))
    }
    guard words[0] == Self.magic, words[1] == token else { return nil }
    func lane(_ first: Int) -> (LaneState, Int)? {
      guard let raw = UInt8(exactly: words[first]), let phase = Phase(rawValue: raw) else { return nil }
      let numbers = words[(first + 1)..<(first + 5)].map { Int(truncatingIfNeeded: $0) }
      return (LaneState(phase: phase, step: numbers[0], bucket: numbers[1], announced: numbers[2]), numbers[3])
    }
    guard let main = lane(4), let communication = lane(9), let rank = Int(exactly: words[2]),
      let purpose = Purpose(rawValue: words[3])
    else { return nil }
    self.token = token
    self.rank = rank
    self.purpose = purpose
    (self.main, mainAge) = main
    (self.communication, communicationAge) = communication
  }

  init(
    token: UInt64, rank: Int, purpose: Purpose = .life, main: LaneState, mainAge: Int, communication: LaneState,
    communicationAge: Int
  ) {
    (self.token, self.rank, self.purpose) = (token, rank, purpose)
    (self.main, self.mainAge) = (main, mainAge)
    (self.communication, self.communicationAge) = (communication, communicationAge)
    // Moments mean nothing to the receiver.
    (self.main.changed, self.communication.changed) = (0, 0)
  }
}

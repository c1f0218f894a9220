import MPI

/// Settings that must be the same on every rank before the first step: MPI does not reliably notice unequal counts,
/// and unequal options would train something else on each rank without any error.
public struct Fingerprint: Sendable, Equatable {
  /// Name and value of each setting, in the order added.
  public private(set) var settings: [(name: String, value: String)] = []

  /// An empty fingerprint.
  public init() {}

  /// Adds a setting. Names and values must not contain line feeds; they are replaced by spaces.
  public mutating func add(_ name: String, _ value: some CustomStringConvertible) {
    func oneLine(_ text: String) -> String { String(text.map { $0 == "\n" || $0 == "\t" ? " " : $0 }) }
    settings.append((oneLine(name), oneLine(value.description)))
  }

  /// Compares the settings of all ranks with those of rank 0. Collective.
  ///
  /// - Throws: ``DataParallelError/ranksDisagree(rank:setting:here:there:)`` on every rank, naming the first rank and
  ///   setting that differ.
  public func verify(over communicator: Communicator) throws {
    let text = settings.map { "\($0.name)\t\($0.value)" }.joined(separator: "\n")
    let texts = try communicator.allGather(bytes: Array(text.utf8)).map { String(decoding: $0, as: UTF8.self) }
    for (rank, other) in texts.enumerated() where other != texts[0] {
      let here = Self.parse(texts[0])
      let there = Self.parse(other)
      for index in 0..<max(here.count, there.count) {
        let a = index < here.count ? here[index] : ("", "nothing")
        let b = index < there.count ? there[index] : ("", "nothing")
        guard a != b else { continue }
        throw DataParallelError.ranksDisagree(
          rank: rank, setting: a.0.isEmpty ? b.0 : a.0, here: a.1, there: b.1)
      }
    }
  }

  /// Equal if names and values are, in order.
  public static func == (a: Fingerprint, b: Fingerprint) -> Bool {
    a.settings.count == b.settings.count && zip(a.settings, b.settings).allSatisfy { $0 == $1 }
  }

  private static func parse(_ text: String) -> [(String, String)] {
    text.split(separator: "\n", omittingEmptySubsequences: false).map { line in
      let parts = line.split(separator: "\t", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
      return (parts.first ?? "", parts.count > 1 ? parts[1] : "")
    }
  }
}

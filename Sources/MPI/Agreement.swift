internal import CMPI

/// An error that several ranks throw together, each knowing that the others do.
public protocol CollectiveError: Error {
  /// How many ranks throw this error together.
  var participantCount: Int { get }
  /// The rank, in the world, that reports the error when nobody catches it.
  var reportingRank: Int { get }
}

/// Something failed on one rank, and every rank of the communicator knows: thrown by `Communicator.agree` on all of
/// them.
public struct PeerError: CollectiveError, CustomStringConvertible {
  /// What was being done.
  public let what: String
  /// The lowest rank, in the world, on which it failed.
  public let rank: Int
  /// The number of ranks in the world.
  public let worldSize: Int
  /// The host of that rank.
  public let host: String
  /// That rank's error, in words.
  public let cause: String
  /// How many ranks failed.
  public let failureCount: Int
  /// How many ranks agreed, and throw this error.
  public let participantCount: Int
  /// This rank's own error; nil where all was well on this rank.
  public let underlying: (any Error)?

  /// The lowest rank that failed.
  public var reportingRank: Int { rank }

  /// `rank 1 of 4 on HOST: WHAT: CAUSE`, on one line.
  public var description: String {
    let others = failureCount > 1 ? " (and on \(failureCount - 1) more of \(participantCount) ranks)" : ""
    return "rank \(rank) of \(worldSize) on \(host): \(what): \(cause)\(others)"
  }
}

extension Communicator {
  /// Runs `body` on every rank and makes all ranks agree on whether it worked: all return, or all throw.
  ///
  /// For work that can fail on one rank alone, such as reading a file, while the others would wait for it in the next
  /// collective. `body` itself may use the communicator only in ways that fail on all ranks alike.
  ///
  /// - Parameter what: what is being done, for the message, such as "reading the data".
  /// - Throws: `PeerError` on every rank when `body` threw on any, naming the lowest one that failed. When that rank's
  ///   error was itself a `PeerError`, agreed on within `body`, it is thrown as it was. `MPIError` when the agreement
  ///   itself fails.
  public func agree<R>(on what: String, _ body: () throws -> R) throws -> R {
    let result = Result(catching: body)
    var failure: (any Error)?
    if case .failure(let error) = result { failure = error }

    let failureCount = try allReduceSum(failure == nil ? 0 : 1)
    if failureCount == 0 { return try result.get() }

    let lowest = try allReduceMin(failure == nil ? size : rank)
    let own = rank == lowest ? try failure.map { try fields(of: $0, what: what) } ?? [] : []
    let packed = try broadcast(bytes: Array(own.joined(separator: "\0").utf8), root: lowest)
    let told = String(decoding: packed, as: UTF8.self).split(separator: "\0", omittingEmptySubsequences: false)
    let field = { (index: Int) in index < told.count ? String(told[index]) : "" }
    throw PeerError(
      what: field(0), rank: Int(field(1)) ?? lowest, worldSize: try worldSize(), host: field(2), cause: field(3),
      failureCount: Int(field(4)) ?? failureCount, participantCount: size, underlying: failure)
  }

  /// What the other ranks need of an error: what, rank, host, cause, and, for an error agreed on before, its count of
  /// failures.
  private func fields(of error: any Error, what: String) throws -> [String] {
    if let peer = error as? PeerError {
      return [peer.what, String(peer.rank), peer.host, peer.cause, String(peer.failureCount)]
    }
    return [what, String(try worldRank(of: rank)), MPIRuntime.hostName, singleLine(error), ""]
  }

  private func worldSize() throws -> Int {
    var rank: Int32 = 0
    var size: Int32 = 0
    try check(cmpi_comm_identity(cmpi_world(), &rank, &size))
    return Int(size)
  }
}

/// An error in words, on one line.
func singleLine(_ error: any Error) -> String {
  String(describing: error).split(whereSeparator: \.isNewline).map { $0.trimmingPrefix { $0 == " " } }
    .joined(separator: " ").replacing("\0", with: " ")
}

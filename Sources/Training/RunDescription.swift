import Foundation
import MPI

/// What `run.json` holds: everything needed to repeat a run.
struct RunDescription: Codable {
  /// The command line, program first.
  var arguments: [String]
  /// Settings that decide what is computed.
  var settings: RunSettings
  /// Steps the run was started for.
  var totalSteps: Int
  /// One host name per rank.
  var hosts: [String]
  /// When it was started, UTC, ISO 8601.
  var started: String
  /// Versions of what it ran on.
  var versions: [String: String]
}

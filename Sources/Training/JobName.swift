import Checkpoints
import Foundation
import SystemPackage

/// The name of the job that this process belongs to, from the environment.
///
/// A job that is started again after a failure, as `launch/run --restarts` and the queues of batch systems do, goes on
/// with *its* run: not with the newest one of the program, which another job may have begun since. So `run.json` tells
/// which jobs worked on a run, and a job that is started again looks for its own name there.
enum JobName {
  /// The variable that holds the name.
  static let variable = "FREEWHEEL_JOB"
  /// The variable that holds the reason of a restart, in words, for `run.json`.
  static let restartVariable = "FREEWHEEL_RESTART"

  /// The name; nil if the job has none.
  static var current: String? { value(of: variable) }
  /// Why the job was started again; nil if it was not.
  static var restartReason: String? { value(of: restartVariable) }

  private static func value(of name: String) -> String? {
    ProcessInfo.processInfo.environment[name].flatMap { $0.isEmpty ? nil : $0 }
  }
}

extension RunFolder {
  /// What of `run.json` tells the jobs; the rest may be of another version.
  private struct Jobs: Decodable {
    struct Session: Decodable { var job: String? }
    var sessions: [Session]
  }

  /// The newest run of a program that a job has worked on; nil if there is none.
  ///
  /// - Throws: `FileError` if the folder of all runs cannot be read. Runs whose description is missing or damaged are
  ///   passed over.
  static func ofJob(_ job: String, root: FilePath, name: String) throws -> RunFolder? {
    try all(root: root, name: name).first { run in
      guard let jobs = try? run.readDescription(as: Jobs.self) else { return false }
      return jobs.sessions.contains { $0.job == job }
    }
  }
}

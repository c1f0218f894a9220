import Checkpoints
import SystemPackage

/// A run folder that this process writes to: rank zero holds one for the length of a run.
final class OpenRun {
  /// The folder.
  let folder: RunFolder
  /// Its checkpoints.
  let store: CheckpointStore
  /// Its `metrics.jsonl`.
  let metrics: MetricsWriter
  /// Keeps other processes from writing here.
  private let lock: RunLock

  /// Opens the run folder of `point` if that is the run's newest good checkpoint: lines of metrics that the run wrote
  /// after it are then removed, as if it had never been interrupted. (Damaged newer checkpoints stay for who wants to
  /// look at them, until the run comes to their step.) Otherwise makes a new run folder: a run that continues from an
  /// older checkpoint must not cost the newer ones.
  ///
  /// - Parameters:
  ///   - point: where to continue; nil for a run from the start.
  ///   - empty: the folder of a run that saved nothing, to be used in place of a new one.
  ///   - options: the flags.
  ///   - program: the program's name.
  ///   - session: what `run.json` is to tell of this start.
  /// - Throws: `FileError`, `CheckpointError`, ``TrainingError/runWentOn(path:)``; nothing has been changed then but
  ///   for a new, empty folder.
  init(
    continuing point: ResumePoint?, reusing empty: RunFolder? = nil, options: TrainingOptions, program: String,
    session: RunDescription.Session
  ) throws {
    if let point, let run = point.run, try Self.isNewest(point, in: run) {
      folder = run
      lock = try run.lock()
      // Another job may have gone on with this run, and ended, before the lock was ours.
      guard try Self.isNewest(point, in: run) else { throw TrainingError.runWentOn(path: run.path.string) }
      store = try run.checkpoints(keep: options.keep)
      try MetricsWriter.truncate(run.metricsFile, afterStep: point.checkpoint.step, droppingEvents: ["summary"])
      try Self.describe(session, in: run)
    } else if let empty {
      folder = empty
      lock = try empty.lock()
      guard try empty.checkpoints().newestGood().checkpoint == nil else {
        throw TrainingError.runWentOn(path: empty.path.string)
      }
      store = try empty.checkpoints(keep: options.keep)
      try MetricsWriter.truncate(empty.metricsFile, afterStep: -1)
      try Self.describe(session, in: empty)
    } else {
      folder = try RunFolder.create(root: FilePath(options.output), name: program)
      lock = try folder.lock()
      store = try folder.checkpoints(keep: options.keep)
      try folder.writeDescription(RunDescription(sessions: [session]))
    }
    metrics = try MetricsWriter(folder.metricsFile)
  }

  /// Adds a start to what `run.json` tells. A description that is damaged or of another version is no reason not to go
  /// on.
  private static func describe(_ session: RunDescription.Session, in run: RunFolder) throws {
    var description = (try? run.readDescription(as: RunDescription.self)) ?? RunDescription(sessions: [])
    description.sessions.append(session)
    try run.writeDescription(description)
  }

  private static func isNewest(_ point: ResumePoint, in run: RunFolder) throws -> Bool {
    try run.checkpoints().newestGood().checkpoint?.step == point.checkpoint.step
  }
}

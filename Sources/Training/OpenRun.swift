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

  /// Opens the run folder of `point` if that is the run's newest good checkpoint: what the run wrote after it (metrics, damaged
  /// checkpoints) is then removed, as if it had never been interrupted. Otherwise makes a new run folder: a run that continues from
  /// an older checkpoint must not cost the newer ones.
  ///
  /// - Throws: `FileError`, `CheckpointError`; nothing has been changed then but for a new, empty folder.
  init(continuing point: ResumePoint?, options: TrainingOptions, program: String, description: RunDescription) throws {
    if let point, let run = point.run,
      try run.checkpoints().newestGood().checkpoint?.step == point.checkpoint.step
    {
      folder = run
      lock = try run.lock()
      store = try run.checkpoints(keep: options.keep)
      try MetricsWriter.truncate(run.metricsFile, afterStep: point.checkpoint.step, droppingEvents: ["summary"])
      try store.removeCheckpoints(afterStep: point.checkpoint.step)
    } else {
      folder = try RunFolder.create(root: FilePath(options.output), name: program)
      lock = try folder.lock()
      store = try folder.checkpoints(keep: options.keep)
      try folder.writeDescription(description)
    }
    metrics = try MetricsWriter(folder.metricsFile)
  }
}

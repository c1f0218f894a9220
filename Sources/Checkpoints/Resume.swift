import SystemPackage

/// Where a run goes on.
public struct ResumePoint: Sendable {
  /// The run that the checkpoint belongs to; nil if the checkpoint was copied out of its run, and a new run begins
  /// with it.
  public let run: RunFolder?
  /// The checkpoint, complete and undamaged.
  public let checkpoint: Checkpoint
  /// Newer checkpoints that were passed over because they are damaged; to be told to the user.
  public let damaged: [DamagedCheckpoint]
}

extension RunFolder {
  /// All runs of a program, newest first.
  ///
  /// - Parameters:
  ///   - root: the folder of all runs; one that is missing holds none.
  ///   - name: the program's name, as given to `create`.
  /// - Throws: `FileError` if the folder cannot be read.
  public static func all(root: FilePath, name: String) throws -> [RunFolder] {
    guard try FileSystem.kind(root) == .folder else { return [] }
    return try FileSystem.names(in: root)
      .compactMap { folder in order(ofName: folder, program: name).map { (folder: folder, order: $0) } }
      .sorted { $0.order > $1.order }
      .map { RunFolder(root.appending($0.folder)) }
  }

  /// What `--resume auto` takes: the newest run of a program that has a good checkpoint, and of that run the newest
  /// one.
  ///
  /// - Parameters:
  ///   - root: the folder of all runs.
  ///   - name: the program's name, as given to `create`.
  /// - Returns: where to go on, nil if there is nothing to resume; and all damaged checkpoints that are newer.
  /// - Throws: `FileError` if a folder cannot be read.
  public static func newestResumable(
    root: FilePath, name: String
  ) throws -> (point: ResumePoint?, damaged: [DamagedCheckpoint]) {
    var damaged: [DamagedCheckpoint] = []
    for run in try all(root: root, name: name) {
      let found = try run.newestPoint()
      damaged += found.damaged
      if let point = found.point {
        return (ResumePoint(run: run, checkpoint: point.checkpoint, damaged: damaged), damaged)
      }
    }
    return (nil, damaged)
  }

  /// Where this run goes on: at its newest good checkpoint.
  ///
  /// - Returns: the point, nil if the run has no good checkpoint; and all damaged checkpoints that are newer.
  /// - Throws: `FileError` if a folder cannot be read.
  public func newestPoint() throws -> (point: ResumePoint?, damaged: [DamagedCheckpoint]) {
    guard try FileSystem.kind(checkpointsFolder) == .folder else { return (nil, []) }
    let found = try checkpoints().newestGood()
    let point = found.checkpoint.map { ResumePoint(run: self, checkpoint: $0, damaged: found.damaged) }
    return (point, found.damaged)
  }

  /// What `--resume FOLDER` takes: a run folder, its `checkpoints` folder, one checkpoint folder, or a link to one of
  /// them.
  ///
  /// Of a run the newest undamaged checkpoint is taken; a checkpoint that is named is taken or refused.
  ///
  /// - Throws: `CheckpointError` or `FileError` if nothing can be resumed there, with the reason.
  public static func resume(from folder: FilePath) throws -> ResumePoint {
    guard let kind = try FileSystem.kind(folder) else {
      throw CheckpointError(folder, "does not exist; expected a run folder or a checkpoint folder")
    }
    guard kind == .folder else {
      throw CheckpointError(folder, "is not a folder; expected a run folder or a checkpoint folder")
    }
    // Links such as `latest` are followed first, so that the run is found from where the checkpoint lies.
    let path = try FileSystem.resolved(folder)
    if try FileSystem.kind(path.appending("checkpoints")) == .folder {
      return try newest(in: CheckpointStore(folder: path.appending("checkpoints")), run: RunFolder(path))
    }
    let store = try CheckpointStore(folder: path)
    if try !store.steps().isEmpty || path.lastComponent?.string == "checkpoints" {
      return try newest(in: store, run: runHolding(checkpoints: path))
    }
    let checkpoint = try Checkpoint(path)
    return ResumePoint(
      run: try runHolding(checkpoints: path.removingLastComponent()), checkpoint: checkpoint, damaged: [])
  }

  private static func newest(in store: CheckpointStore, run: RunFolder?) throws -> ResumePoint {
    let found = try store.newestGood()
    if let checkpoint = found.checkpoint {
      return ResumePoint(run: run, checkpoint: checkpoint, damaged: found.damaged)
    }
    let reasons = found.damaged.isEmpty ? "it holds none" : found.damaged.map(\.reason).joined(separator: "; ")
    throw CheckpointError(store.folder, "has no checkpoint to resume: \(reasons)")
  }

  /// The run that a folder of checkpoints belongs to, if it lies in one.
  private static func runHolding(checkpoints folder: FilePath) throws -> RunFolder? {
    guard folder.lastComponent?.string == "checkpoints" else { return nil }
    let run = RunFolder(folder.removingLastComponent())
    return try FileSystem.kind(run.descriptionFile) == .file || FileSystem.kind(run.metricsFile) == .file ? run : nil
  }
}

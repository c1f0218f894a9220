import SystemPackage

/// The checkpoints of one run: a folder with `step-00001875` and the like, and the links `latest` and `best`.
///
/// A checkpoint is complete or is not there. It is written into a hidden folder, every file and the folder flushed to
/// the disk, and then given its name; only after that are older ones deleted. Killing the program at any moment, or a
/// disk that is full, leaves all earlier checkpoints as they were. One process writes to a store (see
/// `RunFolder.lock()`); any number may read.
public struct CheckpointStore: Sendable {
  /// The folder that holds the checkpoints.
  public let folder: FilePath
  /// How many of the newest checkpoints are kept, besides the best; nil keeps all.
  public let keep: Int?

  /// A store in a folder, which is created with the first checkpoint if it is not there.
  ///
  /// - Throws: `CheckpointError` if `keep` is below 1.
  public init(folder: FilePath, keep: Int? = nil) throws {
    if let keep, keep < 1 {
      throw CheckpointError(folder, "cannot keep \(keep) checkpoints, expected 1 or more")
    }
    (self.folder, self.keep) = (folder, keep)
  }

  /// What a save did.
  public struct Saved: Sendable {
    /// The folder of the new checkpoint.
    public let folder: FilePath
    /// Bytes of all its files.
    public let byteCount: Int
    /// Steps of the older checkpoints that were deleted.
    public let removedSteps: [Int]
    /// What went wrong after the checkpoint was safe, such as an old one that could not be deleted; each one line.
    public let warnings: [String]
  }

  /// Saves a checkpoint; it is complete and on the disk when this returns.
  ///
  /// A checkpoint of the same step is replaced.
  ///
  /// - Parameters:
  ///   - step: optimizer steps done; 0 or more.
  ///   - model: the model's tensors (x), written to `model.safetensors`.
  ///   - optimizer: the optimizer's tensors, written to `optimizer.safetensors`.
  ///   - metadata: strings for the `__metadata__` of both files.
  ///   - metric: what the best checkpoint is chosen by, higher is better; nil or NaN never is best. Of equals the
  ///     earliest is.
  ///   - state: everything else that a resumed run needs. Finite Doubles are kept bit for bit.
  /// - Throws: `SafetensorsError` for contradictory tensors, before anything is written; `FileError` or
  ///   `CheckpointError` naming the file and the cause, as when the disk is full. Earlier checkpoints are then as
  ///   they were and no part of the new one is left.
  public func save<State: Encodable>(
    step: Int, model: [TensorToWrite], optimizer: [TensorToWrite], metadata: [String: String] = [:],
    metric: Double? = nil, state: State
  ) throws -> Saved {
    guard step >= 0 else { throw CheckpointError(folder, "cannot save step \(step), expected 0 or more") }
    let target = folder.appending(Self.name(ofStep: step))
    let parts = try [(Checkpoint.modelName, model), (Checkpoint.optimizerName, optimizer)].map { name, tensors in
      (
        name: name, tensors: tensors,
        header: try Safetensors.header(tensors, metadata: metadata, path: target.appending(name))
      )
    }
    try FileSystem.createFolders(folder)
    var warnings = removeLeftovers()

    let temporary = hidden("saving", step)
    var byteCount = 0
    do {
      try FileSystem.createFolder(temporary)
      try blockingFileSizeSignal {
        var files: [String: Manifest.FileRecord] = [:]
        for part in parts {
          let file = try OpenFile.creating(temporary.appending(part.name))
          let written = try Safetensors.writeContents(part.tensors, header: part.header, to: file)
          try file.synchronize()
          files[part.name] = Manifest.FileRecord(written)
          byteCount += written.byteCount
        }
        let path = temporary.appending(Checkpoint.stateName)
        let text = try Manifest.text(Manifest(step: step, metric: metric, files: files), state: state, path: path)
        let file = try OpenFile.creating(path)
        try text.withUnsafeBytes { try file.write($0) }
        try file.synchronize()
        byteCount += text.count
      }
      try FileSystem.synchronizeFolder(temporary)
      try putInPlace(temporary, target, step)
    } catch {
      try? FileSystem.removeTree(temporary)
      throw error
    }
    try FileSystem.synchronizeFolder(folder)

    // The checkpoint is safe. What fails from here on is worth telling but must not end a training.
    func attempt(_ body: () throws -> Void) {
      do { try body() } catch { warnings.append("\(error)") }
    }
    attempt { try FileSystem.replaceLink(folder.appending("latest"), target: Self.name(ofStep: step)) }
    var best: Int?
    attempt {
      best = try bestStep()
      if let best { try FileSystem.replaceLink(folder.appending("best"), target: Self.name(ofStep: best)) }
    }
    var removed: [Int] = []
    attempt {
      guard let keep else { return }
      let newest = Set(try steps().suffix(keep)).union([step])
      for old in try steps() where !newest.contains(old) && old != best {
        attempt {
          try remove(step: old)
          removed.append(old)
        }
      }
    }
    return Saved(folder: target, byteCount: byteCount, removedSteps: removed, warnings: warnings)
  }

  /// Steps of the checkpoints that are there, ascending. Whether they are undamaged, opening them tells.
  ///
  /// - Throws: `FileError` if the folder cannot be read; one that is missing holds none.
  public func steps() throws -> [Int] {
    guard try FileSystem.kind(folder) != nil else { return [] }
    return try FileSystem.names(in: folder).compactMap(Self.step(ofName:)).sorted()
  }

  /// The newest checkpoint that is complete and undamaged.
  ///
  /// - Returns: the checkpoint, nil if there is none; and those that are newer but damaged, each with the reason.
  /// - Throws: `FileError` if the folder cannot be read.
  public func newestGood() throws -> (checkpoint: Checkpoint?, damaged: [DamagedCheckpoint]) {
    var damaged: [DamagedCheckpoint] = []
    for step in try steps().reversed() {
      let path = folder.appending(Self.name(ofStep: step))
      do {
        return (try Checkpoint(path), damaged)
      } catch {
        damaged.append(DamagedCheckpoint(folder: path, reason: "\(error)"))
      }
    }
    return (nil, damaged)
  }

  /// The checkpoint of one step.
  ///
  /// - Throws: `CheckpointError` or `FileError` if it is missing or damaged.
  public func checkpoint(step: Int) throws -> Checkpoint {
    try Checkpoint(folder.appending(Self.name(ofStep: step)))
  }

  /// Deletes the checkpoints after a step, when a run goes on from an earlier one and those after it are no longer
  /// its future.
  ///
  /// - Returns: the steps that were deleted.
  /// - Throws: `FileError`.
  @discardableResult
  public func removeCheckpoints(afterStep step: Int) throws -> [Int] {
    let later = try steps().filter { $0 > step }
    for step in later { try remove(step: step) }
    if let newest = try steps().last, !later.isEmpty {
      try FileSystem.replaceLink(folder.appending("latest"), target: Self.name(ofStep: newest))
    }
    return later
  }

  // MARK: names

  static func name(ofStep step: Int) -> String {
    let digits = String(step)
    return "step-" + String(repeating: "0", count: max(0, 8 - digits.count)) + digits
  }

  static func step(ofName name: String) -> Int? {
    guard name.hasPrefix("step-") else { return nil }
    let digits = name.dropFirst(5)
    guard digits.count >= 8, digits.allSatisfy({ $0.isASCII && $0.isNumber }) else { return nil }
    return Int(digits)
  }

  /// A hidden name that says what is being done, and by whom.
  private func hidden(_ action: String, _ step: Int) -> FilePath {
    folder.appending(".\(action)-\(Self.name(ofStep: step))-\(ProcessIdentity.current.suffix)")
  }

  // MARK: the parts of a save

  /// Gives the finished folder its name, setting aside an older checkpoint of the same step.
  private func putInPlace(_ temporary: FilePath, _ target: FilePath, _ step: Int) throws {
    guard try FileSystem.kind(target, followLinks: false) != nil else {
      return try FileSystem.move(temporary, to: target)
    }
    let aside = hidden("removed", step)
    try FileSystem.move(target, to: aside)
    do {
      try FileSystem.move(temporary, to: target)
    } catch {
      try? FileSystem.move(aside, to: target)
      throw error
    }
    try? FileSystem.removeTree(aside)  // what is left of it, the next save removes
  }

  /// Deletes a checkpoint: hidden first, so that being killed half-way leaves nothing that looks like one.
  private func remove(step: Int) throws {
    let aside = hidden("removed", step)
    try FileSystem.move(folder.appending(Self.name(ofStep: step)), to: aside)
    try FileSystem.removeTree(aside)
  }

  /// The step with the highest metric, the earliest of equals; nil if none was evaluated.
  private func bestStep() throws -> Int? {
    var best: (step: Int, metric: Double)?
    for step in try steps() {
      // One whose state cannot be read cannot be the best; loading says why.
      let path = folder.appending(Self.name(ofStep: step))
      guard let manifest = try? Manifest(Manifest.text(in: path), path), let metric = manifest.metric else { continue }
      if !metric.isNaN && metric > (best?.metric ?? -.infinity) { best = (step, metric) }
    }
    return best?.step
  }

  /// Deletes hidden folders and links that dead processes left behind.
  ///
  /// - Returns: a line for each that could not be deleted.
  private func removeLeftovers() -> [String] {
    var warnings: [String] = []
    let prefixes = [".saving-", ".removed-", ".latest-", ".best-"]
    for name in (try? FileSystem.names(in: folder)) ?? [] where prefixes.contains(where: name.hasPrefix) {
      let path = folder.appending(name)
      do {
        if try isLeftover(name, path) { try FileSystem.removeTree(path) }
      } catch {
        warnings.append("\(error)")
      }
    }
    return warnings
  }

  /// Whether nobody is working on a hidden entry any more.
  private func isLeftover(_ name: String, _ path: FilePath) throws -> Bool {
    guard let owner = ProcessIdentity(endOf: name) else { return false }
    // This process is not in the middle of another save; in containers a restarted program often has the same number.
    if owner == .current { return true }
    if owner.host == ProcessIdentity.current.host { return !owner.isAlive }
    // Processes of other hosts cannot be looked up. No save takes an hour.
    return try FileSystem.modificationTime(path) < currentTime() - 3600
  }
}

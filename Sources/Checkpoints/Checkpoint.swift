import Foundation
import SystemPackage

/// A checkpoint that cannot be saved or used.
public struct CheckpointError: Error, CustomStringConvertible, Sendable {
  /// The file or folder at fault.
  public let path: FilePath
  /// What was found and what was expected.
  public let message: String

  init(_ path: FilePath, _ message: String) { (self.path, self.message) = (path, message) }

  /// One line: `runs/a/checkpoints/step-00000020/model.safetensors: has 100 bytes, but 4096 were saved`.
  public var description: String { "\(path): \(message)" }
}

/// A checkpoint folder that was passed over, and why.
public struct DamagedCheckpoint: Sendable, CustomStringConvertible {
  /// The checkpoint's folder.
  public let folder: FilePath
  /// Why it cannot be used; one line that names the file at fault.
  public let reason: String

  /// One line.
  public var description: String { "passed over checkpoint \(folder): \(reason)" }
}

/// A complete checkpoint on disk: `model.safetensors`, `optimizer.safetensors` and `state.json`.
///
/// `state.json` holds the step, the caller's state, and size and CRC-32 of every file, its own text included, so that
/// damage is found when the checkpoint is opened and not by what the training does afterwards.
public struct Checkpoint: Sendable {
  static let modelName = "model.safetensors"
  static let optimizerName = "optimizer.safetensors"
  static let stateName = "state.json"

  /// The checkpoint's folder.
  public let folder: FilePath
  /// Optimizer steps done when it was saved.
  public let step: Int
  /// What the best checkpoint is chosen by, higher is better; nil if nothing had been evaluated.
  public let metric: Double?

  private let stateText: Data

  /// Opens a checkpoint, comparing sizes and checksums of all its files with what was saved.
  ///
  /// - Throws: `CheckpointError` or `FileError` naming the file that is missing or damaged.
  public init(_ folder: FilePath) throws {
    let text = try Manifest.text(in: folder)
    let manifest = try Manifest(text, folder)
    for name in [Self.modelName, Self.optimizerName] where manifest.files[name] == nil {
      throw CheckpointError(folder.appending(Self.stateName), "lists no \(name)")
    }
    for (name, record) in manifest.files.sorted(by: { $0.key < $1.key }) {
      try record.verify(folder.appending(name))
    }
    self.init(folder, manifest, text)
  }

  init(_ folder: FilePath, _ manifest: Manifest, _ text: Data) {
    (self.folder, step, metric, stateText) = (folder, manifest.step, manifest.metric, text)
  }

  /// The state that the caller of `save` gave. Doubles and integers come back exactly as they were.
  ///
  /// - Throws: `CheckpointError` if it holds no such state, as after a change of the type.
  public func state<State: Decodable>(as type: State.Type = State.self) throws -> State {
    do {
      return try StateCoding.decoder.decode(StateOnly<State>.self, from: stateText).state
    } catch let error as DecodingError {
      throw CheckpointError(
        folder.appending(Self.stateName), "its state is of another program or version: \(error.oneLine)")
    }
  }

  /// Opens the model's tensors.
  ///
  /// - Throws: `SafetensorsError` or `FileError`.
  public func model() throws -> SafetensorsFile { try SafetensorsFile(folder.appending(Self.modelName)) }

  /// Opens the optimizer's tensors.
  ///
  /// - Throws: `SafetensorsError` or `FileError`.
  public func optimizer() throws -> SafetensorsFile { try SafetensorsFile(folder.appending(Self.optimizerName)) }
}

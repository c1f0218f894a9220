import Foundation
import SystemPackage

/// The folder of one run:
///
///     runs/mnist-2026-11-20T10-00-00/
///       run.json          everything needed to repeat it
///       metrics.jsonl     one JSON object a line
///       checkpoints/      step-00001875/…, latest, best
public struct RunFolder: Sendable, Hashable {
  /// The folder.
  public let path: FilePath

  /// A run folder that is there.
  public init(_ path: FilePath) { self.path = path }

  /// `run.json`.
  public var descriptionFile: FilePath { path.appending("run.json") }
  /// `metrics.jsonl`.
  public var metricsFile: FilePath { path.appending("metrics.jsonl") }
  /// The folder of the checkpoints.
  public var checkpointsFolder: FilePath { path.appending("checkpoints") }

  /// Creates the folder of a new run, named after the program and the time in UTC; `-2`, `-3`, … is added if it is
  /// taken.
  ///
  /// To be called before any work is done: it shows that results can be written.
  ///
  /// - Parameters:
  ///   - root: the folder of all runs, created if missing.
  ///   - name: the program's name: letters, digits, `.`, `_` and `-`.
  ///   - date: the time for the name.
  /// - Throws: `CheckpointError` for an impossible name; `FileError` if the folder cannot be created or not be
  ///   written to.
  public static func create(root: FilePath, name: String, date: Date = Date()) throws -> RunFolder {
    guard isValid(name) else {
      throw CheckpointError(root, "impossible run name \"\(name)\", expected letters, digits, '.', '_' and '-'")
    }
    try FileSystem.createFolders(root)
    let base = "\(name)-\(timestamp(date))"
    var number = 1
    while true {
      let path = root.appending(number == 1 ? base : "\(base)-\(number)")
      do {
        try FileSystem.createFolder(path)
      } catch let error as FileError where error.errno == .fileExists {
        number += 1
        continue
      }
      let run = RunFolder(path)
      try FileSystem.createFolder(run.checkpointsFolder)
      return run
    }
  }

  /// Writes `run.json` in one step, keys sorted.
  ///
  /// - Throws: `FileError` if it cannot be written; `CheckpointError` if the value cannot be JSON.
  public func writeDescription(_ value: some Encodable) throws {
    var text: Data
    do {
      text = try StateCoding.encoder.encode(value)
    } catch let error as EncodingError {
      throw CheckpointError(descriptionFile, "cannot be written as JSON: \(error)")
    }
    text.append(UInt8(ascii: "\n"))
    try FileSystem.replaceFile(descriptionFile) { file in try text.withUnsafeBytes { try file.write($0) } }
  }

  /// Reads `run.json`.
  ///
  /// - Throws: `FileError` if it cannot be read; `CheckpointError` if it does not hold such a value.
  public func readDescription<Value: Decodable>(as type: Value.Type = Value.self) throws -> Value {
    do {
      return try StateCoding.decoder.decode(type, from: Data(try OpenFile.reading(descriptionFile).readAll()))
    } catch let error as DecodingError {
      throw CheckpointError(descriptionFile, "is not the description of a run: \(error.oneLine)")
    }
  }

  /// The checkpoints of this run.
  ///
  /// - Parameter keep: see `CheckpointStore.init(folder:keep:)`.
  /// - Throws: `CheckpointError` if `keep` is below 1.
  public func checkpoints(keep: Int? = nil) throws -> CheckpointStore {
    try CheckpointStore(folder: checkpointsFolder, keep: keep)
  }

  // MARK: names

  static func isValid(_ name: String) -> Bool {
    !name.isEmpty && !name.hasPrefix(".") && !name.hasPrefix("-")
      && name.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || "._-".contains($0)) }
  }

  /// `2026-11-20T10-00-00`, in UTC: sorts by time, and has no colon, which some file systems refuse.
  static func timestamp(_ date: Date) -> String {
    let formatter = DateFormatter()
    formatter.locale = Locale(identifier: "en_US_POSIX")
    formatter.timeZone = TimeZone(secondsFromGMT: 0)
    formatter.dateFormat = "yyyy-MM-dd'T'HH-mm-ss"
    return formatter.string(from: date)
  }

  /// The sort key in the name of a run folder: time and number. Nil if the folder is not a run of the program.
  static func order(ofName folder: String, program: String) -> (time: String, number: Int)? {
    guard folder.hasPrefix(program + "-") else { return nil }
    let rest = folder.dropFirst(program.count + 1)
    let time = rest.prefix(19)
    let pattern = "dddd-dd-ddTdd-dd-dd"
    guard time.count == pattern.count,
      zip(time, pattern).allSatisfy({ $1 == "d" ? $0.isASCII && $0.isNumber : $0 == $1 })
    else { return nil }
    let suffix = rest.dropFirst(19)
    if suffix.isEmpty { return (String(time), 1) }
    guard suffix.hasPrefix("-"), let number = Int(suffix.dropFirst()), number > 1 else { return nil }
    return (String(time), number)
  }
}

import Foundation
import SystemPackage

/// What `state.json` says about the checkpoint itself.
struct Manifest: Codable {
  static let format = "freewheel checkpoint"
  static let version = 1

  var format = Manifest.format
  var version = Manifest.version
  var step: Int
  var metric: Double?
  var files: [String: FileRecord]

  init(step: Int, metric: Double?, files: [String: FileRecord]) {
    (self.step, self.metric, self.files) = (step, metric, files)
  }

  /// Size and checksum of one file.
  struct FileRecord: Codable, Equatable {
    var bytes: Int
    var crc32: String

    init(_ written: Safetensors.Written) { (bytes, crc32) = (written.byteCount, written.checksum.value.hexadecimal) }

    /// - Throws: `CheckpointError` if the file is not the one that was saved.
    func verify(_ path: FilePath) throws {
      guard try FileSystem.kind(path) == .file else { throw CheckpointError(path, "is missing") }
      let file = try OpenFile.reading(path)
      let size = try file.size()
      guard size == bytes else { throw CheckpointError(path, "has \(size) bytes, but \(bytes) were saved") }
      var checksum = CRC32()
      let piece = UnsafeMutableRawBufferPointer.allocate(byteCount: max(1, min(bytes, 1 << 20)), alignment: 64)
      defer { piece.deallocate() }
      var done = 0
      while done < bytes {
        let part = UnsafeMutableRawBufferPointer(rebasing: piece[0..<min(piece.count, bytes - done)])
        try file.read(into: part, at: done)
        checksum.update(UnsafeRawBufferPointer(part))
        done += part.count
      }
      let found = checksum.value.hexadecimal
      guard found == crc32 else {
        throw CheckpointError(path, "is damaged: its CRC-32 is \(found), but \(crc32) was saved")
      }
    }
  }

  // MARK: the text of state.json

  // The first line carries the checksum of all that follows it:
  //     {"crc32_below":"0a1b2c3d",
  // so a reader can check the very bytes before it trusts any of them.
  private static let opening = Data("{\"crc32_below\":\"".utf8)
  private static let closing = Data("\",\n".utf8)

  /// The text of `state.json`.
  static func text<State: Encodable>(_ manifest: Manifest, state: State, path: FilePath) throws -> Data {
    let document: Data
    do {
      document = try StateCoding.encoder.encode(ManifestAndState(manifest: manifest, state: state))
    } catch let error as EncodingError {
      throw CheckpointError(path, "the state cannot be written as JSON: \(error)")
    }
    // The encoder's text begins with { and a line break, as it holds several entries.
    let below = document.dropFirst(2) + Data("\n".utf8)
    let checksum = below.withUnsafeBytes(CRC32.of).hexadecimal
    return opening + Data(checksum.utf8) + closing + below
  }

  /// Reads `state.json` and compares its checksum.
  static func text(in folder: FilePath) throws -> Data {
    let path = folder.appending(Checkpoint.stateName)
    guard try FileSystem.kind(path) == .file else {
      throw CheckpointError(path, "is missing; this is no checkpoint, or not all of one")
    }
    let text = Data(try OpenFile.reading(path).readAll())
    let start = opening.count + 8
    guard text.starts(with: opening), text.dropFirst(start).starts(with: closing) else {
      throw CheckpointError(
        path, "does not begin as the state of a checkpoint does; it is damaged or of another program")
    }
    let saved = String(decoding: text[opening.count..<start], as: UTF8.self)
    let found = text.dropFirst(start + closing.count).withUnsafeBytes(CRC32.of).hexadecimal
    guard found == saved else {
      throw CheckpointError(path, "is damaged or was edited: its CRC-32 is \(found), but \(saved) was saved")
    }
    return text
  }

  init(_ text: Data, _ folder: FilePath) throws {
    let path = folder.appending(Checkpoint.stateName)
    do {
      self = try StateCoding.decoder.decode(Manifest.self, from: text)
    } catch let error as DecodingError {
      throw CheckpointError(path, "is not the state of a checkpoint: \(error.oneLine)")
    }
    guard format == Self.format, version == Self.version else {
      throw CheckpointError(
        path, "found \(format), version \(version); expected \(Self.format), version \(Self.version)")
    }
  }
}

struct ManifestAndState<State: Encodable>: Encodable {
  let manifest: Manifest
  let state: State

  enum Keys: String, CodingKey { case state }

  func encode(to encoder: any Encoder) throws {
    try manifest.encode(to: encoder)
    var container = encoder.container(keyedBy: Keys.self)
    try container.encode(state, forKey: .state)
  }
}

struct StateOnly<State: Decodable>: Decodable { let state: State }

/// How states become JSON: keys sorted, so that equal states are equal bytes; numbers shortest and exact.
enum StateCoding {
  static var encoder: JSONEncoder {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    encoder.nonConformingFloatEncodingStrategy = .convertToString(
      positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
    return encoder
  }

  static var decoder: JSONDecoder {
    let decoder = JSONDecoder()
    decoder.nonConformingFloatDecodingStrategy = .convertFromString(
      positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
    return decoder
  }
}

extension DecodingError {
  /// What is wrong and where, without the nested description of the default text.
  var oneLine: String {
    let context: Context
    switch self {
    case .typeMismatch(_, let found), .valueNotFound(_, let found), .dataCorrupted(let found): context = found
    case .keyNotFound(let key, let found):
      return "no \"\((found.codingPath + [key]).map(\.stringValue).joined(separator: "."))\""
    @unknown default: return "\(self)"
    }
    let place = context.codingPath.map(\.stringValue).joined(separator: ".")
    return (place.isEmpty ? "" : "\"\(place)\": ") + context.debugDescription
  }
}

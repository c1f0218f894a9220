import Foundation
import SystemPackage

/// The header of a safetensors file, checked against the size of the file.
///
/// Every claim is checked before memory is set aside for it: a header names sizes, and nobody has to believe it.
struct SafetensorsHeader {
  /// From the `__metadata__` entry.
  var metadata: [String: String] = [:]
  /// In the order of their bytes.
  var tensors: [StoredTensor] = []
  /// Where the tensors' bytes begin in the file.
  var dataOffset = 0

  /// Reads and checks the header of an open file.
  ///
  /// - Throws: `SafetensorsError` saying what was found and what was expected; `FileError` if reading fails.
  init(_ file: borrowing OpenFile) throws {
    let path = file.path
    guard file.isRegularFile else { throw SafetensorsError(path, "is not a regular file") }
    let size = try file.size()
    guard size >= 8 else {
      throw SafetensorsError(
        path, "the file has \(size) bytes, expected at least 8; it is no safetensors file or cut short")
    }
    var littleEndianLength: UInt64 = 0
    try withUnsafeMutableBytes(of: &littleEndianLength) { try file.read(into: $0, at: 0) }
    let length = UInt64(littleEndian: littleEndianLength)
    guard length <= Safetensors.largestHeader else {
      throw SafetensorsError(
        path,
        "the header claims \(length) bytes, expected at most \(Safetensors.largestHeader); it is no safetensors file?")
    }
    guard length <= size - 8 else {
      throw SafetensorsError(
        path, "the header claims \(length) bytes, but only \(size - 8) follow; the file is cut short")
    }
    var json = [UInt8](repeating: 0, count: Int(length))
    try json.withUnsafeMutableBytes { try file.read(into: $0, at: 8) }
    dataOffset = 8 + json.count
    try parse(json, path)
    try checkOffsets(dataCount: size - dataOffset, path)
  }

  private mutating func parse(_ json: [UInt8], _ path: FilePath) throws {
    guard json.first == UInt8(ascii: "{") else {
      throw SafetensorsError(path, "the header does not begin with {; it is no safetensors file or damaged")
    }
    guard String(bytes: json, encoding: .utf8) != nil else { throw SafetensorsError(path, "the header is not UTF-8") }
    let document: HeaderDocument
    do {
      document = try JSONDecoder().decode(HeaderDocument.self, from: Data(json))
    } catch DecodingError.dataCorrupted {
      throw SafetensorsError(path, "the header is not valid JSON")
    } catch DecodingError.typeMismatch(_, let context), DecodingError.valueNotFound(_, let context),
      DecodingError.keyNotFound(_, let context)
    {
      let place = context.codingPath.first?.stringValue
      throw SafetensorsError(path, "the header's entry \"\(place ?? "")\" is not an object as the format asks for")
    }
    if let name = json.withUnsafeBytes(firstRepeatedKey) {
      throw SafetensorsError(path, tensor: name, "the header names it twice")
    }
    metadata = document.metadata
    tensors = try document.entries.map { try $1.tensor(named: $0, path) }
    tensors.sort {
      ($0.byteRange.lowerBound, $0.byteRange.upperBound, $0.name)
        < ($1.byteRange.lowerBound, $1.byteRange.upperBound, $1.name)
    }
  }

  /// The tensors must cover the data exactly: no overlaps, no holes, nothing after the last.
  private func checkOffsets(dataCount: Int, _ path: FilePath) throws {
    var end = 0
    for tensor in tensors {
      let range = tensor.byteRange
      if range.upperBound > dataCount {
        throw SafetensorsError(
          path, tensor: tensor.name,
          "its bytes end at \(range.upperBound), but only \(dataCount) follow the header; the file is cut short")
      }
      if range.lowerBound < end {
        throw SafetensorsError(
          path, tensor: tensor.name,
          "its bytes begin at \(range.lowerBound) and overlap those before, which end at \(end)")
      }
      if range.lowerBound > end {
        throw SafetensorsError(
          path, tensor: tensor.name,
          "its bytes begin at \(range.lowerBound), expected \(end): nobody owns those between")
      }
      end = range.upperBound
    }
    if end != dataCount {
      throw SafetensorsError(
        path, "the tensors end at byte \(end) of \(dataCount) after the header, expected no bytes more")
    }
  }
}

/// The header's JSON: one object whose entries are tensors, and `__metadata__`.
private struct HeaderDocument: Decodable {
  var metadata: [String: String] = [:]
  var entries: [(name: String, entry: HeaderEntry)] = []

  init(from decoder: any Decoder) throws {
    let container = try decoder.container(keyedBy: AnyKey.self)
    for key in container.allKeys {
      if key.stringValue == "__metadata__" {
        metadata = try container.decode([String: String].self, forKey: key)
      } else {
        entries.append((key.stringValue, try container.decode(HeaderEntry.self, forKey: key)))
      }
    }
  }
}

/// One tensor's entry; what does not decode is nil, and refused with a message that names it.
private struct HeaderEntry: Decodable {
  let dtype: String?
  let shape: [Int]?
  let offsets: [Int]?

  init(from decoder: any Decoder) throws {
    let container = try decoder.container(keyedBy: AnyKey.self)
    dtype = try? container.decode(String.self, forKey: AnyKey(stringValue: "dtype"))
    shape = try? container.decode([Int].self, forKey: AnyKey(stringValue: "shape"))
    offsets = try? container.decode([Int].self, forKey: AnyKey(stringValue: "data_offsets"))
  }

  func tensor(named name: String, _ path: FilePath) throws -> StoredTensor {
    func refuse(_ message: String) -> SafetensorsError { SafetensorsError(path, tensor: name, message) }
    guard let dtype else { throw refuse("has no \"dtype\", expected one such as \"F32\"") }
    guard let type = TensorType(rawValue: dtype) else {
      throw refuse(
        "unknown dtype \"\(dtype)\", expected one of \(TensorType.allCases.map(\.rawValue).joined(separator: ", "))")
    }
    guard let shape else { throw refuse("\"shape\" is not a list of whole numbers that fit into 63 bits") }
    guard let count = elementCount(shape) else {
      throw refuse("impossible shape \(shape): an extent is negative or their product does not fit into 63 bits")
    }
    let (byteCount, overflow) = count.multipliedReportingOverflow(by: type.byteCount)
    if overflow { throw refuse("impossible shape \(shape): its bytes do not fit into 63 bits") }
    guard let offsets, offsets.count == 2 else {
      throw refuse("\"data_offsets\" is not a list of two whole numbers that fit into 63 bits")
    }
    guard offsets[0] >= 0, offsets[1] >= offsets[0] else {
      throw refuse("data_offsets \(offsets) are negative or reversed, expected begin ≤ end")
    }
    guard offsets[1] - offsets[0] == byteCount else {
      throw refuse(
        "data_offsets \(offsets) span \(offsets[1] - offsets[0]) bytes, expected \(byteCount) for \(dtype) \(shape)")
    }
    return StoredTensor(name: name, type: type, shape: shape, byteRange: offsets[0]..<offsets[1])
  }
}

private struct AnyKey: CodingKey {
  let stringValue: String
  var intValue: Int? { nil }
  init(stringValue: String) { self.stringValue = stringValue }
  init?(intValue: Int) { nil }
}

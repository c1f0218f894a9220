import Foundation
import Testing

@testable import Datasets

/// The root of the package, found from this file's place in it.
let packageRoot = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
  .deletingLastPathComponent()

/// The real data that may lie beside the package.
let realMNIST = packageRoot.deletingLastPathComponent().appending(path: "shared/data/mnist").path
let hasRealMNIST = LabeledImages.containsMNIST(folder: realMNIST)

extension LabeledImages {
  var allImages: [UInt8] { (0..<count).flatMap { image($0) } }
  var allLabels: [UInt8] { withLabels { Array($0) } }
}

/// A folder of its own for a test, removed with the object.
final class TemporaryFolder {
  let url: URL
  var path: String { url.path }

  init() throws {
    url = FileManager.default.temporaryDirectory.appending(path: "freewheel-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(at: url) }

  /// Writes a file and returns its path.
  @discardableResult
  func write(_ name: String, _ bytes: [UInt8]) throws -> String {
    let file = url.appending(path: name)
    try Data(bytes).write(to: file)
    return file.path
  }
}

/// An IDX file: header with the given extents, then data; magic and data may be made to lie.
func idx(_ extents: [UInt32], _ data: [UInt8], magic: [UInt8]? = nil) -> [UInt8] {
  (magic ?? [0, 0, 8, UInt8(extents.count)]) + extents.flatMap { bigEndian($0) } + data
}

private func bigEndian(_ value: UInt32) -> [UInt8] { [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: value >> $0) } }
private func littleEndian(_ value: UInt32) -> [UInt8] { bigEndian(value).reversed() }

/// A gzip member that stores `data` uncompressed (RFC 1951, 3.2.4; RFC 1952), so that each byte of it is known.
func gzipStored(_ data: [UInt8]) -> [UInt8] {
  var result: [UInt8] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]
  var start = 0
  repeat {
    let count = min(data.count - start, 65_535)
    let length = [UInt8(count & 255), UInt8(count >> 8)]
    result += [start + count == data.count ? 1 : 0] + length + length.map { ~$0 } + data[start..<(start + count)]
    start += count
  } while start < data.count
  return result + littleEndian(crc32(data)) + littleEndian(UInt32(data.count))
}

/// CRC-32 bit by bit, as RFC 1952 defines it.
private func crc32(_ data: [UInt8]) -> UInt32 {
  var sum = UInt32.max
  for byte in data {
    sum ^= UInt32(byte)
    for _ in 0..<8 { sum = sum & 1 == 1 ? sum >> 1 ^ 0xEDB8_8320 : sum >> 1 }
  }
  return ~sum
}

/// FNV-1a, 64 bits (Fowler, Noll, Vo): enough to notice that one bit of many has changed.
func fingerprint(_ bytes: some Sequence<UInt8>) -> UInt64 {
  bytes.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
}

/// Expects a ``DatasetError`` of a kind whose one line holds all the given parts.
func expectError(
  _ kind: DatasetError.Kind, _ parts: String..., sourceLocation: SourceLocation = #_sourceLocation,
  from body: () throws -> Void
) {
  do {
    try body()
    Issue.record("nothing was thrown; \(kind) was expected", sourceLocation: sourceLocation)
  } catch let error as DatasetError {
    #expect(error.kind == kind, "\(error)", sourceLocation: sourceLocation)
    for part in parts {
      #expect(error.description.contains(part), "\(error)", sourceLocation: sourceLocation)
    }
    #expect(!error.description.contains { $0.isNewline }, sourceLocation: sourceLocation)
  } catch {
    Issue.record("\(error) was thrown; a DatasetError was expected", sourceLocation: sourceLocation)
  }
}

import CZlib

/// A running CRC-32 (the one of zlib, gzip and PNG), to find files that were damaged after they were written, and to tell
/// files apart.
package struct CRC32: Sendable {
  package private(set) var value: UInt32 = 0

  mutating func update(_ bytes: UnsafeRawBufferPointer) {
    // A null pointer would ask zlib for the initial value; no bytes change nothing.
    guard let base = bytes.baseAddress else { return }
    var done = 0
    while done < bytes.count {
      let piece = min(bytes.count - done, 1 << 30)  // zlib's count has 32 bits
      value = UInt32(
        truncatingIfNeeded: crc32(
          uLong(value), (base + done).assumingMemoryBound(to: UInt8.self), uInt(piece)))
      done += piece
    }
  }

  package static func of(_ bytes: UnsafeRawBufferPointer) -> UInt32 {
    var checksum = CRC32()
    checksum.update(bytes)
    return checksum.value
  }
}

extension UInt32 {
  /// Eight hexadecimal digits, as in `state.json`.
  package var hexadecimal: String {
    let digits = String(self, radix: 16)
    return String(repeating: "0", count: 8 - digits.count) + digits
  }
}

/// Where the images of a data set lie: in one or more pieces of memory, at equal distances within each.
///
/// So a file in which labels stand between images is used as it is, mapped and shared by all ranks of a machine.
struct ImageRecords: Sendable {
  /// Consecutive images in one piece of memory.
  struct Part: Sendable {
    /// Begins with the first image's first byte.
    let bytes: ByteView
    /// The number of images, at least 1.
    let count: Int
  }

  /// In the order of the data set; at least one.
  let parts: [Part]
  /// Bytes from the start of an image to the start of the next in its part.
  let stride: Int

  /// The number of images in all parts.
  var count: Int { parts.reduce(0) { $0 + $1.count } }

  /// The first byte of an image; it lives as long as these records do.
  func pointer(to index: Int) -> UnsafePointer<UInt8> {
    var rest = index
    for part in parts {
      if rest < part.count { return part.bytes.start + rest * stride }
      rest -= part.count
    }
    preconditionFailure("image \(index) of \(count)")
  }
}

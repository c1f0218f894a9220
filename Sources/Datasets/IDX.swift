#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// Arrays of unsigned bytes in the IDX format of the MNIST distribution (yann.lecun.com/exdb/mnist, "the IDX file
/// format"): two zero bytes, a type code, the number of dimensions, one big-endian 32-bit extent per dimension, data.
///
/// Files may be plain, then they are mapped read-only, or gzip-compressed, then they are inflated into memory; which
/// one it is shows in the first bytes, not in the name.
public enum IDX {
  /// Reads a file of images and a file of labels.
  ///
  /// - Parameters:
  ///   - images: path of an IDX file of unsigned bytes, N×H×W.
  ///   - labels: path of an IDX file of unsigned bytes, N.
  ///   - name: for progress lines and error messages.
  ///   - classCount: labels must be below this.
  ///   - expectedSize: if given, the height and width that the images must have.
  /// - Throws: ``DatasetError`` naming the file, what was found, and what was expected.
  public static func load(
    images imagesPath: String, labels labelsPath: String, name: String, classCount: Int,
    expectedSize: (height: Int, width: Int)? = nil
  ) throws -> LabeledImages {
    let images = try read(imagesPath, dimensionCount: 3, holding: "images (count × height × width)")
    let (count, height, width) = (images.extents[0], images.extents[1], images.extents[2])
    if let expectedSize, (height, width) != expectedSize {
      throw DatasetError(
        .shape, path: imagesPath,
        "holds images of \(height)×\(width); \(expectedSize.height)×\(expectedSize.width) were expected")
    }
    let labels = try read(labelsPath, dimensionCount: 1, holding: "labels")
    guard labels.extents[0] == count else {
      throw DatasetError(
        .counts, path: labelsPath,
        "holds \(labels.extents[0]) labels, but \(imagesPath) holds \(count) images: are they of the same set?")
    }
    return try LabeledImages(
      name: name, images: images.bytes, labels: labels.bytes, channels: 1, height: height, width: width,
      classCount: classCount, labelsPath: labelsPath)
  }

  /// A file's extents, each at least 1, and exactly as many bytes as they multiply to.
  static func read(
    _ path: String, dimensionCount: Int, holding content: String
  ) throws -> (extents: [Int], bytes: ByteView) {
    let storage = try ByteStorage(mapping: path)
    let headerSize = 4 + 4 * dimensionCount
    if GzipReader.recognises(storage) {
      let reader = try GzipReader(storage, path: path)
      var header = [UInt8](repeating: 0, count: headerSize)
      let size = try header.withUnsafeMutableBytes { try reader.read(into: $0.baseAddress!, count: headerSize) }
      let extents = try parse(header[..<size], path: path, dimensionCount: dimensionCount, holding: content)
      let expected = try byteCount(extents, path: path)
      return (extents, ByteView(try inflate(reader, expected: expected, path: path)))
    }
    let header = UnsafeRawBufferPointer(start: storage.base, count: min(storage.count, headerSize))
    let extents = try parse(Array(header)[...], path: path, dimensionCount: dimensionCount, holding: content)
    let expected = try byteCount(extents, path: path)
    try check(found: storage.count - headerSize, expected: expected, path: path)
    return (extents, ByteView(storage, offset: headerSize))
  }

  /// Checks the header's bytes, of which there may be too few, and returns the extents.
  private static func parse(
    _ header: ArraySlice<UInt8>, path: String, dimensionCount: Int, holding content: String
  ) throws -> [Int] {
    let headerSize = 4 + 4 * dimensionCount
    guard header.count >= 4 else {
      throw DatasetError(
        .truncated, path: path,
        "ends after \(header.count) bytes; an IDX file of \(content) has a header of \(headerSize); fetch it again")
    }
    guard header[0] == 0, header[1] == 0 else {
      throw DatasetError(
        .notIDX, path: path,
        "begins with the bytes \(hex(header[..<4])), not with an IDX file's "
          + "\(hex([0, 0, 8, UInt8(dimensionCount)])); is it another file, or an error page that was saved?")
    }
    guard header[2] == 0x08 else {
      throw DatasetError(
        .elementType, path: path,
        "has elements of type \(typeName(header[2])); unsigned bytes (0x08) were expected")
    }
    guard Int(header[3]) == dimensionCount else {
      throw DatasetError(
        .shape, path: path,
        "has \(header[3]) dimensions; \(dimensionCount) were expected, for \(content): are images and labels swapped?")
    }
    guard header.count >= headerSize else {
      throw DatasetError(
        .truncated, path: path, "ends after \(header.count) bytes, within its header of \(headerSize); fetch it again")
    }
    let extents = (0..<dimensionCount).map { dimension in
      header[(4 + 4 * dimension)..<(8 + 4 * dimension)].reduce(0) { $0 << 8 | Int($1) }
    }
    if extents[0] == 0 {
      throw DatasetError(.empty, path: path, "holds no examples: its header says 0 \(content)")
    }
    if extents.contains(0) {
      throw DatasetError(
        .shape, path: path, "holds \(shape(extents)) elements; every extent must be at least 1")
    }
    return extents
  }

  /// The product of the extents, refusing what no memory could hold.
  private static func byteCount(_ extents: [Int], path: String) throws -> Int {
    var product = 1
    for extent in extents {
      let (next, overflow) = product.multipliedReportingOverflow(by: extent)
      guard !overflow else {
        throw DatasetError(
          .tooLarge, path: path,
          "its header announces \(shape(extents)) bytes, more than any memory holds; "
            + "the header is wrong: fetch it again")
      }
      product = next
    }
    return product
  }

  /// Inflates exactly `expected` bytes. Memory grows with the bytes that really come, never with what a header claims.
  private static func inflate(_ reader: GzipReader, expected: Int, path: String) throws -> ByteStorage {
    var capacity = 0
    var count = 0
    var memory: UnsafeMutableRawPointer?
    do {
      while count < expected {
        capacity = min(expected, max(1 << 20, 2 * capacity))
        guard let grown = realloc(memory, capacity) else {
          throw DatasetError(.tooLarge, path: path, "there is no memory for its \(expected) bytes")
        }
        memory = grown
        let piece = try reader.read(into: grown + count, count: capacity - count)
        count += piece
        if piece == 0 || count < capacity { break }
      }
      try check(found: count, expected: expected, path: path)
      // Running into the end of the stream is what checks its CRC; one byte more would be a byte too many.
      var surplus: UInt8 = 0
      guard try withUnsafeMutableBytes(of: &surplus, { try reader.read(into: $0.baseAddress!, count: 1) }) == 0,
        let memory
      else {
        throw DatasetError(
          .trailingBytes, path: path,
          "inflates to more than the \(expected) bytes that its header announces; fetch it again")
      }
      return ByteStorage(adoptingMalloc: memory, count: count)
    } catch {
      free(memory)
      throw error
    }
  }

  private static func check(found: Int, expected: Int, path: String) throws {
    if found < expected {
      throw DatasetError(
        .truncated, path: path,
        "holds \(found) bytes after its header, which announces \(expected); it was cut off: fetch it again")
    }
    if found > expected {
      throw DatasetError(
        .trailingBytes, path: path,
        "holds \(found) bytes after its header, which announces \(expected); "
          + "\(found - expected) do not belong there: fetch it again")
    }
  }

  private static func shape(_ extents: [Int]) -> String { extents.map(String.init).joined(separator: "×") }

  private static func hex(_ bytes: ArraySlice<UInt8>) -> String {
    bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined(separator: " ")
  }

  private static func typeName(_ code: UInt8) -> String {
    let names: [UInt8: String] = [
      0x09: "signed byte", 0x0b: "16-bit integer", 0x0c: "32-bit integer", 0x0d: "float", 0x0e: "double",
    ]
    let hexadecimal = "0x" + hex([code])
    return names[code].map { "\($0) (\(hexadecimal))" } ?? "\(hexadecimal), which IDX does not know"
  }
}

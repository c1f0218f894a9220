import SystemPackage

/// A tensor to be written: its description, and where its bytes come from.
public struct TensorToWrite {
  /// Where the bytes of a tensor come from.
  public enum Contents {
    /// Bytes in memory, little endian, row by row; owned by the caller, who keeps them unchanged until the write
    /// returns.
    case bytes(UnsafeRawBufferPointer)
    /// Float32 values.
    case floats([Float])
    /// Whole numbers.
    case integers([Int64])
    /// Float32 values that the closure writes, all of them, into the buffer it is handed. The buffer is reused from
    /// tensor to tensor, so that a model in another layout needs memory for its largest tensor only. It must not be
    /// kept.
    case fill((UnsafeMutableBufferPointer<Float>) throws -> Void)
  }

  /// The tensor's name; unique in its file, and not `__metadata__`.
  public var name: String
  /// Its element type.
  public var type: TensorType
  /// Its extents, outermost first; empty for a single number.
  public var shape: [Int]
  /// Where its bytes come from.
  public var contents: Contents

  /// A tensor of any type, from bytes in memory.
  public init(_ name: String, type: TensorType, shape: [Int], bytes: UnsafeRawBufferPointer) {
    (self.name, self.type, self.shape, contents) = (name, type, shape, .bytes(bytes))
  }

  /// A float32 tensor from bytes in memory, which the caller keeps unchanged until the write returns.
  public init(_ name: String, shape: [Int], floats: UnsafeBufferPointer<Float>) {
    self.init(name, type: .float32, shape: shape, bytes: UnsafeRawBufferPointer(floats))
  }

  /// A float32 tensor from an array.
  public init(_ name: String, shape: [Int], floats: [Float]) {
    (self.name, type, self.shape, contents) = (name, .float32, shape, .floats(floats))
  }

  /// A tensor of 64-bit whole numbers from an array.
  public init(_ name: String, shape: [Int], integers: [Int64]) {
    (self.name, type, self.shape, contents) = (name, .int64, shape, .integers(integers))
  }

  /// A float32 tensor whose values the closure writes when they are needed.
  public init(_ name: String, shape: [Int], fill: @escaping (UnsafeMutableBufferPointer<Float>) throws -> Void) {
    (self.name, type, self.shape, contents) = (name, .float32, shape, .fill(fill))
  }
}

/// Writing safetensors files.
public enum Safetensors {
  /// The longest header that readers accept, in bytes.
  public static let largestHeader = 100_000_000

  /// Writes a file that PyTorch's `safetensors.torch.load_file` reads.
  ///
  /// The bytes depend on the arguments only: tensors lie in the order given, metadata in the order of its keys, and
  /// the header is padded with spaces so that the tensors begin at a multiple of eight. A file that is there is
  /// replaced in one step, once the new one is complete and on the disk.
  ///
  /// - Throws: `SafetensorsError` before anything is written, if a name occurs twice or contents and shape disagree;
  ///   `FileError` if the file cannot be written; whatever a `fill` closure throws.
  public static func write(_ tensors: [TensorToWrite], metadata: [String: String] = [:], to path: FilePath) throws {
    let header = try header(tensors, metadata: metadata, path: path)
    _ = try FileSystem.replaceFile(path) { try writeContents(tensors, header: header, to: $0) }
  }

  /// Size and checksum of a file that was written.
  struct Written: Equatable {
    var byteCount = 0
    var checksum = CRC32()

    static func == (a: Self, b: Self) -> Bool { a.byteCount == b.byteCount && a.checksum.value == b.checksum.value }
  }

  /// Writes header and tensors into an open, empty file.
  static func writeContents(
    _ tensors: [TensorToWrite], header: [UInt8], to file: borrowing OpenFile
  ) throws -> Written {
    let largest = tensors.map { if case .fill = $0.contents { elementCount($0.shape) ?? 0 } else { 0 } }.max() ?? 0
    let scratch = UnsafeMutableBufferPointer<Float>.allocate(capacity: largest)
    scratch.initialize(repeating: 0)
    defer { scratch.deallocate() }

    var written = Written()
    try header.withUnsafeBytes { try write($0, to: file, &written) }
    for tensor in tensors {
      switch tensor.contents {
      case .bytes(let bytes): try write(bytes, to: file, &written)
      case .floats(let values):
        try values.withUnsafeBufferPointer { try write(littleEndian($0), to: file, &written) }
      case .integers(let values):
        try values.map(\.littleEndian).withUnsafeBytes { try write($0, to: file, &written) }
      case .fill(let fill):
        let part = UnsafeMutableBufferPointer(rebasing: scratch[0..<(elementCount(tensor.shape) ?? 0)])
        try fill(part)
        try write(littleEndian(UnsafeBufferPointer(part)), to: file, &written)
      }
    }
    let size = try file.size()
    guard size == written.byteCount else {
      throw SafetensorsError(file.path, "the file has \(size) bytes after \(written.byteCount) were written")
    }
    return written
  }

  private static func write(
    _ bytes: UnsafeRawBufferPointer, to file: borrowing OpenFile, _ written: inout Written
  ) throws {
    try file.write(bytes)
    written.checksum.update(bytes)
    written.byteCount += bytes.count
  }

  /// The values' own memory: every system that Swift, MPI and oneDNN share is little endian, as the format is.
  private static func littleEndian(_ values: UnsafeBufferPointer<Float>) -> UnsafeRawBufferPointer {
    #if _endian(big)
      #error("safetensors files are little endian; swap bytes here")
    #endif
    return UnsafeRawBufferPointer(values)
  }

  /// The length and the header, padded.
  ///
  /// - Throws: `SafetensorsError` if a name occurs twice, a shape is impossible or contents and shape disagree.
  static func header(_ tensors: [TensorToWrite], metadata: [String: String], path: FilePath) throws -> [UInt8] {
    var names: Set<String> = ["__metadata__"]
    var json: [UInt8] = []
    json.append("{")
    if !metadata.isEmpty {
      json.append("\"__metadata__\":{")
      for (index, (key, value)) in metadata.sorted(by: { $0.key < $1.key }).enumerated() {
        if index > 0 { json.append(",") }
        json.appendJSON(key)
        json.append(":")
        json.appendJSON(value)
      }
      json.append("}")
    }
    var offset = 0
    for tensor in tensors {
      guard names.insert(tensor.name).inserted else {
        throw SafetensorsError(path, tensor: tensor.name, "the name is given twice or reserved; expected unique names")
      }
      let (end, overflow) = try offset.addingReportingOverflow(byteCount(of: tensor, path: path))
      if overflow { throw SafetensorsError(path, tensor: tensor.name, "the file's size does not fit into 63 bits") }
      if json.count > 1 { json.append(",") }
      json.appendJSON(tensor.name)
      json.append(":{\"dtype\":")
      json.appendJSON(tensor.type.rawValue)
      json.append(",\"shape\":[")
      for (index, extent) in tensor.shape.enumerated() {
        if index > 0 { json.append(",") }
        json.appendJSON(extent)
      }
      json.append("],\"data_offsets\":[")
      json.appendJSON(offset)
      json.append(",")
      json.appendJSON(end)
      json.append("]}")
      offset = end
    }
    json.append("}")
    while json.count % 8 != 0 { json.append(UInt8(ascii: " ")) }
    guard json.count <= largestHeader else {
      throw SafetensorsError(path, "the header would have \(json.count) bytes, expected at most \(largestHeader)")
    }
    return withUnsafeBytes(of: UInt64(json.count).littleEndian) { Array($0) } + json
  }

  /// Bytes of a tensor, after checking that contents and shape agree.
  private static func byteCount(of tensor: TensorToWrite, path: FilePath) throws -> Int {
    let bytes = elementCount(tensor.shape).map { $0.multipliedReportingOverflow(by: tensor.type.byteCount) }
    guard let bytes, !bytes.overflow else {
      throw SafetensorsError(path, tensor: tensor.name, "impossible shape \(tensor.shape)")
    }
    let found: Int
    switch tensor.contents {
    case .bytes(let buffer): found = buffer.count
    case .floats(let values): found = values.count * TensorType.float32.byteCount
    case .integers(let values): found = values.count * TensorType.int64.byteCount
    case .fill: found = bytes.partialValue
    }
    // The convenience initialisers fix the type, but a caller may have changed it since.
    let type: TensorType =
      switch tensor.contents {
      case .bytes: tensor.type
      case .integers: .int64
      case .floats, .fill: .float32
      }
    guard tensor.type == type else {
      throw SafetensorsError(
        path, tensor: tensor.name, "contents are \(type), but the type is \(tensor.type.rawValue)")
    }
    guard found == bytes.partialValue else {
      throw SafetensorsError(
        path, tensor: tensor.name,
        "\(found) bytes given, expected \(bytes.partialValue) for \(tensor.type.rawValue) \(tensor.shape)")
    }
    return found
  }
}

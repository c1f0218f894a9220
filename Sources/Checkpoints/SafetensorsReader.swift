import SystemPackage

/// An open safetensors file whose header has been checked.
///
/// Opening reads and checks the header only; each tensor is read when asked for.
public struct SafetensorsFile: ~Copyable {
  /// The file.
  public let path: FilePath
  /// The header's `__metadata__`.
  public let metadata: [String: String]
  /// The tensors, in the order of their bytes.
  public let tensors: [StoredTensor]

  private let file: OpenFile
  private let dataOffset: Int
  private let indexByName: [String: Int]

  /// Opens a file and checks its header against its size.
  ///
  /// - Throws: `SafetensorsError` if it is no safetensors file, cut short, or contradicts itself; `FileError` if it
  ///   cannot be opened or read.
  public init(_ path: FilePath) throws {
    let file = try OpenFile.reading(path)
    let header = try SafetensorsHeader(file)
    self.init(file, header)
  }

  private init(_ file: consuming OpenFile, _ header: SafetensorsHeader) {
    path = file.path
    self.file = file
    metadata = header.metadata
    tensors = header.tensors
    dataOffset = header.dataOffset
    indexByName = Dictionary(uniqueKeysWithValues: header.tensors.enumerated().map { ($1.name, $0) })
  }

  /// The description of one tensor.
  ///
  /// - Throws: `SafetensorsError` if the file has none of this name, or (where `shape` is given) one of another shape.
  public func tensor(_ name: String, shape: [Int]? = nil) throws -> StoredTensor {
    guard let index = indexByName[name] else {
      let known = tensors.prefix(12).map(\.name).joined(separator: ", ") + (tensors.count > 12 ? ", …" : "")
      throw SafetensorsError(path, tensor: name, "is missing; the file holds \(known.isEmpty ? "no tensors" : known)")
    }
    if let shape, tensors[index].shape != shape {
      throw SafetensorsError(path, tensor: name, "found shape \(tensors[index].shape), expected \(shape)")
    }
    return tensors[index]
  }

  /// Checks that the file holds exactly these tensors, of these shapes, and perhaps some others.
  ///
  /// - Parameters:
  ///   - expected: what must be there.
  ///   - allowed: what may be there, of these shapes.
  /// - Throws: `SafetensorsError` naming the first tensor that is missing, of another shape, or not expected.
  public func expect(
    _ expected: [(name: String, shape: [Int])], allowing allowed: [(name: String, shape: [Int])] = []
  ) throws {
    for (name, shape) in expected { _ = try tensor(name, shape: shape) }
    let names = Set((expected + allowed).map(\.name))
    for (name, shape) in allowed where indexByName[name] != nil { _ = try tensor(name, shape: shape) }
    if let extra = tensors.first(where: { !names.contains($0.name) }) {
      throw SafetensorsError(path, tensor: extra.name, "is not one of the \(expected.count) tensors expected here")
    }
  }

  /// Reads a tensor of floating-point numbers as float32. F64 is rounded; F16 and BF16 are exact.
  ///
  /// - Parameters:
  ///   - shape: the shape it must have.
  ///   - buffer: receives its elements in row-major order; as many as `shape` has.
  /// - Throws: `SafetensorsError` if it is missing, of another shape or element type, or does not fit; `FileError` if
  ///   reading fails.
  public func read(_ name: String, shape: [Int], into buffer: UnsafeMutableBufferPointer<Float>) throws {
    let tensor = try tensor(name, shape: shape)
    guard buffer.count == tensor.count else {
      throw SafetensorsError(path, tensor: name, "has \(tensor.count) elements, but the buffer takes \(buffer.count)")
    }
    let start = dataOffset + tensor.byteRange.lowerBound
    switch tensor.type {
    case .float32: try file.read(into: UnsafeMutableRawBufferPointer(buffer), at: start)
    case .float64: try convert(start, into: buffer) { (value: UInt64) in Float(Double(bitPattern: value)) }
    case .bfloat16: try convert(start, into: buffer) { (value: UInt16) in Float(bitPattern: UInt32(value) << 16) }
    case .float16: try convert(start, into: buffer, float(half:))
    default:
      throw SafetensorsError(path, tensor: name, "found \(tensor.type.rawValue), expected F32, F64, F16 or BF16")
    }
  }

  /// Reads a tensor of floating-point numbers as an array of float32. See `read(_:shape:into:)`.
  public func floats(_ name: String, shape: [Int]? = nil) throws -> [Float] {
    let tensor = try tensor(name, shape: shape)
    var values = [Float](repeating: 0, count: tensor.count)
    try values.withUnsafeMutableBufferPointer { try read(name, shape: tensor.shape, into: $0) }
    return values
  }

  /// Reads a tensor of whole numbers, whatever type they are stored as.
  ///
  /// - Throws: `SafetensorsError` if it is missing, of another shape, or holds something that is no whole number of 64
  ///   bits; `FileError` if reading fails.
  public func integers(_ name: String, shape: [Int]? = nil) throws -> [Int] {
    let tensor = try tensor(name, shape: shape)
    func read<Element: FixedWidthInteger>(_: Element.Type) throws -> [Int] {
      var values = [Element](repeating: 0, count: tensor.count)
      try values.withUnsafeMutableBytes { try file.read(into: $0, at: dataOffset + tensor.byteRange.lowerBound) }
      return try values.map { value in
        guard let number = Int(exactly: Element(littleEndian: value)) else {
          throw SafetensorsError(path, tensor: name, "holds \(value), which does not fit into 63 bits")
        }
        return number
      }
    }
    switch tensor.type {
    case .bool, .uint8: return try read(UInt8.self)
    case .int8: return try read(Int8.self)
    case .int16: return try read(Int16.self)
    case .uint16: return try read(UInt16.self)
    case .int32: return try read(Int32.self)
    case .uint32: return try read(UInt32.self)
    case .int64: return try read(Int64.self)
    case .uint64: return try read(UInt64.self)
    default:
      return try floats(name).map { value in
        guard let number = Int(exactly: value) else {
          throw SafetensorsError(path, tensor: name, "holds \(value), expected whole numbers")
        }
        return number
      }
    }
  }

  /// Reads the elements in pieces and converts each.
  private func convert<Element: FixedWidthInteger>(
    _ start: Int, into buffer: UnsafeMutableBufferPointer<Float>, _ convert: (Element) -> Float
  ) throws {
    var piece = [Element](repeating: 0, count: min(buffer.count, 65536))
    var done = 0
    while done < buffer.count {
      let count = min(piece.count, buffer.count - done)
      try piece.withUnsafeMutableBytes {
        let bytes = count * MemoryLayout<Element>.size
        try file.read(
          into: UnsafeMutableRawBufferPointer(rebasing: $0[0..<bytes]), at: start + done * MemoryLayout<Element>.size)
      }
      for index in 0..<count { buffer[done + index] = convert(Element(littleEndian: piece[index])) }
      done += count
    }
  }
}

/// The float32 of an IEEE 754 binary16; every binary16 has one. (`Float16` is not on every platform.)
func float(half bits: UInt16) -> Float {
  let sign = UInt32(bits & 0x8000) << 16
  let exponent = UInt32(bits >> 10) & 0x1F
  let fraction = UInt32(bits & 0x3FF)
  switch exponent {
  case 0:
    // Zero and subnormal numbers: fraction · 2⁻²⁴.
    let magnitude = Float(fraction) * 0x1p-24
    return Float(bitPattern: magnitude.bitPattern | sign)
  case 0x1F: return Float(bitPattern: sign | 0x7F80_0000 | fraction << 13)
  default: return Float(bitPattern: sign | (exponent + 112) << 23 | fraction << 13)
  }
}

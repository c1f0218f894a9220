// The safetensors format (https://huggingface.co/docs/safetensors): eight bytes with the length of the header, little
// endian; the header, a JSON object; the tensors' bytes one after the other, without holes.

import SystemPackage

/// Element types of the safetensors format.
public enum TensorType: String, Sendable, CaseIterable {
  /// One byte, 0 or 1.
  case bool = "BOOL"
  /// Unsigned, 1 byte.
  case uint8 = "U8"
  /// Signed, 1 byte.
  case int8 = "I8"
  /// Floating point, 1 byte: 5 bits of exponent, 2 of mantissa.
  case float8e5m2 = "F8_E5M2"
  /// Floating point, 1 byte: 4 bits of exponent, 3 of mantissa.
  case float8e4m3 = "F8_E4M3"
  /// Signed, 2 bytes.
  case int16 = "I16"
  /// Unsigned, 2 bytes.
  case uint16 = "U16"
  /// IEEE 754 half precision, 2 bytes.
  case float16 = "F16"
  /// The upper half of a single-precision number, 2 bytes.
  case bfloat16 = "BF16"
  /// Signed, 4 bytes.
  case int32 = "I32"
  /// Unsigned, 4 bytes.
  case uint32 = "U32"
  /// IEEE 754 single precision, 4 bytes.
  case float32 = "F32"
  /// IEEE 754 double precision, 8 bytes.
  case float64 = "F64"
  /// Signed, 8 bytes.
  case int64 = "I64"
  /// Unsigned, 8 bytes.
  case uint64 = "U64"

  /// Bytes of one element.
  public var byteCount: Int {
    switch self {
    case .bool, .uint8, .int8, .float8e5m2, .float8e4m3: 1
    case .int16, .uint16, .float16, .bfloat16: 2
    case .int32, .uint32, .float32: 4
    case .float64, .int64, .uint64: 8
    }
  }
}

/// What a safetensors file holds under one name.
public struct StoredTensor: Sendable, Hashable {
  /// The tensor's name, such as `conv1.weight`.
  public let name: String
  /// Its element type.
  public let type: TensorType
  /// Its extents, outermost first; empty for a single number.
  public let shape: [Int]
  /// Where its bytes lie, counted from the end of the header.
  public let byteRange: Range<Int>

  /// Number of elements: the product of `shape`.
  public var count: Int { byteRange.count / type.byteCount }
}

/// A safetensors file that cannot be read or written, with the tensor at fault.
public struct SafetensorsError: Error, CustomStringConvertible, Sendable {
  /// The file.
  public let file: FilePath
  /// The tensor at fault; nil if the file as a whole is.
  public let tensor: String?
  /// What was found and what was expected.
  public let message: String

  init(_ file: FilePath, tensor: String? = nil, _ message: String) {
    (self.file, self.tensor, self.message) = (file, tensor, message)
  }

  /// One line: `model.safetensors: tensor "fc1.weight": found shape [128, 10], expected [10, 128]`.
  public var description: String {
    "\(file): " + (tensor.map { "tensor \"\($0)\": " } ?? "") + message
  }
}

/// Number of elements of a shape.
///
/// - Returns: nil if an extent is negative or the product does not fit into an Int.
func elementCount(_ shape: [Int]) -> Int? {
  var count = 1
  for extent in shape {
    let (product, overflow) = count.multipliedReportingOverflow(by: extent)
    if extent < 0 || overflow { return nil }
    count = product
  }
  return count
}

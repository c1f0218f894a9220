internal import CMPI

/// The element types the collectives can carry.
public enum MPIElementType: Sendable {
  /// 32-bit IEEE float.
  case float32
  /// 64-bit IEEE float.
  case float64
  /// 32-bit signed integer.
  case int32
  /// 64-bit signed integer.
  case int64
  /// Eight bits, moved and never interpreted.
  case byte
  /// 16 bits, such as those of a bfloat16, moved and never interpreted.
  case bits16

  var code: cmpi_type {
    switch self {
    case .float32: CMPI_FLOAT32
    case .float64: CMPI_FLOAT64
    case .int32: CMPI_INT32
    case .int64: CMPI_INT64
    case .byte: CMPI_BYTE
    case .bits16: CMPI_BITS16
    }
  }
}

/// A type whose values the collectives can carry between ranks.
public protocol MPIElement: BitwiseCopyable {
  /// The MPI type with the same bits.
  static var mpiElementType: MPIElementType { get }
}

/// A number that the reducing collectives can add and compare.
public protocol MPINumber: MPIElement {}

extension Float: MPINumber {
  /// `MPI_FLOAT`.
  public static var mpiElementType: MPIElementType { .float32 }
}
extension Double: MPINumber {
  /// `MPI_DOUBLE`.
  public static var mpiElementType: MPIElementType { .float64 }
}
extension Int32: MPINumber {
  /// `MPI_INT32_T`.
  public static var mpiElementType: MPIElementType { .int32 }
}
extension Int64: MPINumber {
  /// `MPI_INT64_T`.
  public static var mpiElementType: MPIElementType { .int64 }
}
extension Int: MPINumber {
  /// `MPI_INT64_T`: `Int` has 64 bits wherever this library runs.
  public static var mpiElementType: MPIElementType { .int64 }
}
extension UInt16: MPIElement {
  /// `MPI_UINT16_T`.
  public static var mpiElementType: MPIElementType { .bits16 }
}
extension UInt8: MPIElement {
  /// `MPI_BYTE`.
  public static var mpiElementType: MPIElementType { .byte }
}

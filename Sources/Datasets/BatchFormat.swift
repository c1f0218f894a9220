/// The form in which images lie in a batch.
public struct BatchFormat: Sendable, Hashable, CustomStringConvertible {
  /// The order of an image's elements.
  public enum Layout: String, Sendable, CaseIterable {
    /// N×C×H×W: each channel a plane.
    case planar
    /// N×H×W×C: the channels of a pixel side by side.
    case channelsLast
  }

  /// What an element is stored as.
  public enum ElementType: String, Sendable, CaseIterable {
    /// IEEE 754 single precision.
    case float32
    /// The upper half of a float32, rounded to nearest, ties to even.
    case bfloat16

    /// Bytes of an element.
    public var size: Int { self == .float32 ? 4 : 2 }
  }

  /// The order of an image's elements.
  public var layout: Layout
  /// What an element is stored as.
  public var elementType: ElementType

  /// Planes of float32, unless said otherwise.
  public init(layout: Layout = .planar, elementType: ElementType = .float32) {
    self.layout = layout
    self.elementType = elementType
  }

  /// The layout and the type.
  public var description: String { "\(layout == .planar ? "NCHW" : "NHWC") \(elementType.rawValue)" }

  /// The bits of the bfloat16 nearest to `value`, which is a number, the even one of two.
  static func bfloat16Bits(_ value: Float) -> UInt16 {
    let bits = value.bitPattern
    return UInt16(truncatingIfNeeded: (bits &+ 0x7fff &+ (bits >> 16 & 1)) >> 16)
  }
}

/// Where each parameter of a network lies in the flat arenas (parameters, gradients, optimizer state).
///
/// Arenas hold the tensors in oneDNN's own physical layouts. Padding, inside tensors and between them, is zero and
/// stays zero: gradients are zero there.
public struct ParameterLayout: Sendable, Hashable {
  /// The tensors, in the network's order, by rising offset.
  public let tensors: [ParameterTensor]
  /// Floats in an arena, padding included; a multiple of 16 (64 bytes).
  public let count: Int

  /// Parameters proper, without padding.
  public var parameterCount: Int { tensors.reduce(0) { $0 + $1.elementCount } }

  /// Equal only where names, shapes, physical layouts and offsets are: 16 hexadecimal digits (FNV-1a, 64 bits).
  public var fingerprint: String {
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    var text = "\(count)"
    for tensor in tensors {
      text += ";\(tensor.name),\(tensor.shape),\(tensor.physicalFormat),\(tensor.offset),\(tensor.physicalCount)"
    }
    for byte in text.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
    let digits = String(hash, radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
  }
}

/// One parameter tensor of a ``ParameterLayout``.
public struct ParameterTensor: Sendable, Hashable {
  /// Name as PyTorch would have it, such as `conv1.weight`.
  public let name: String
  /// Canonical shape (row-major): OIHW, out × in, or out.
  public let shape: [Int]
  /// oneDNN's notation of the physical layout, such as `ABcd16b16a`.
  public let physicalFormat: String
  /// First float in the arena; a multiple of 16.
  public let offset: Int
  /// Floats in the arena, the layout's padding included.
  public let physicalCount: Int
  /// Inputs that one output is a sum over.
  public let fanIn: Int
  /// Initial values.
  public let initializer: Initializer
  /// Whether it gets gradients; if not, they are zero, and an optimizer is to leave it alone.
  public let isTrainable: Bool

  /// Elements in the canonical shape.
  public var elementCount: Int { shape.reduce(1, *) }
}

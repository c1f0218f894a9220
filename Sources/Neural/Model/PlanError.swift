/// A network, an option or a batch that cannot be computed with, found before any work is done.
public enum PlanError: Error, CustomStringConvertible, Sendable, Hashable {
  /// A layer was given a shape that it cannot take.
  /// - Parameters: `layer` names the layer; `received` is the shape of one example that arrives at it.
  case shape(layer: String, received: [Int], expected: String)
  /// The network as a whole makes no sense.
  case model(String)
  /// An option or argument outside its range.
  case value(name: String, received: String, expected: String)
  /// More memory than can be had.
  /// - Parameters: `byteCount` bytes are wanted, at the least, for `purpose`; `machineByteCount` is all there is.
  case memory(purpose: String, byteCount: Int, machineByteCount: Int)
  /// A training or evaluation call that must not be made now.
  case usage(String)

  /// Where it is, what came and what was expected, in one line.
  public var description: String {
    switch self {
    case .shape(let layer, let received, let expected):
      let shape = received.map(String.init).joined(separator: " × ")
      return "\(layer): received an input of shape \(shape), expected \(expected)"
    case .model(let text): return "model: \(text)"
    case .value(let name, let received, let expected): return "\(name): received \(received), expected \(expected)"
    case .memory(let purpose, let byteCount, let machine):
      return "\(purpose): needs \(byteCount) bytes (\(byteCount >> 30) GiB) of memory, more than can be had of this"
        + " machine's \(machine) (\(machine >> 30) GiB); choose a smaller batch (--batch-size) or a smaller network"
    case .usage(let text): return "plan: \(text)"
    }
  }
}

internal import COneDNN

/// A call into oneDNN that did not succeed.
public struct OneDNNError: Error, CustomStringConvertible, Sendable, Hashable {
  /// The C function that failed, such as `dnnl_primitive_execute`.
  public let call: String
  /// The `dnnl_status_t` it returned.
  public let code: UInt32

  /// oneDNN's own name for the status.
  public var status: String {
    switch code {
    case 1: "out of memory"
    case 2: "invalid arguments"
    case 3: "unimplemented"
    case 4: "iterator ends"
    case 5: "runtime error"
    case 6: "not required"
    default: "unknown status"
    }
  }

  /// No implementation exists for what was asked (here this often only means: choose another algorithm or layout).
  var isUnimplemented: Bool { code == 3 }

  /// The call, the status's name and its number, in one line.
  public var description: String { "oneDNN: \(call) failed: \(status) (\(code))" }
}

/// The one place in which oneDNN's statuses become errors.
@inline(__always)
func check(_ status: dnnl_status_t, _ call: StaticString) throws(OneDNNError) {
  if status != dnnl_success { throw OneDNNError(call: "\(call)", code: UInt32(status.rawValue)) }
}

/// The handle that a successful creating call must have written.
func created<Handle>(_ handle: Handle?, _ call: StaticString) throws(OneDNNError) -> Handle {
  guard let handle else { throw OneDNNError(call: "\(call)", code: UInt32(dnnl_runtime_error.rawValue)) }
  return handle
}

/// What `body` makes, or nil where oneDNN has no implementation of it.
func ifImplemented<Made>(_ body: () throws(OneDNNError) -> Made) throws(OneDNNError) -> Made? {
  do {
    return try body()
  } catch {
    if error.isUnimplemented { return nil }
    throw error
  }
}

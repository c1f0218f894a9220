internal import CMPI

/// A call to MPI that failed.
public struct MPIError: Error, CustomStringConvertible {
  /// The MPI function that returned the code, such as `MPI_Allreduce`.
  public let call: String
  /// The code it returned; what it means is up to the MPI library.
  public let code: Int32
  /// The MPI library's own text for the code, or what this library found wrong before calling.
  public let message: String

  /// An error of the MPI function `call`, explained by `message`.
  public init(call: String, code: Int32, message: String) {
    self.call = call
    self.code = code
    self.message = message
  }

  /// One line: the call, the explanation, the code.
  public var description: String { "\(call) failed: \(message) (code \(code))" }
}

/// The one place that looks at MPI's return codes.
/// - Throws: `MPIError` unless `result` is a success.
func check(_ result: cmpi_result) throws {
  guard result.code != MPI_SUCCESS else { return }
  let message = text(capacity: 1024) { cmpi_error_text(result.code, $0, $1) }
  throw MPIError(call: result.call.map { String(cString: $0) } ?? "MPI", code: result.code, message: message)
}

/// The text that `fill` writes, null-terminated, into the buffer of `capacity` bytes it is handed.
func text(capacity: Int, _ fill: (UnsafeMutablePointer<CChar>, Int) throws -> Void) rethrows -> String {
  try withUnsafeTemporaryAllocation(of: CChar.self, capacity: capacity) { buffer in
    buffer.initialize(repeating: 0)
    guard let base = buffer.baseAddress else { return "" }
    try fill(base, capacity)
    return String(cString: base)
  }
}

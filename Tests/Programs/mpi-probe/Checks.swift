/// A result that is not what it must be.
struct CheckFailed: Error, CustomStringConvertible {
  let description: String
}

/// An error as a program might throw it.
struct ProbeError: Error, CustomStringConvertible {
  let text: String
  var description: String { text }
}

/// Throws unless `condition` holds.
func expect(
  _ condition: @autoclosure () throws -> Bool, _ message: @autoclosure () -> String, file: StaticString = #fileID,
  line: UInt = #line
) throws {
  if try !condition() { throw CheckFailed(description: "\(file):\(line): \(message())") }
}

/// Throws unless both are equal.
func expectEqual<T: Equatable>(
  _ value: T, _ expected: T, _ what: @autoclosure () -> String, file: StaticString = #fileID, line: UInt = #line
) throws {
  try expect(value == expected, "\(what()): \(value) instead of \(expected)", file: file, line: line)
}

/// Runs `body`, which must throw an `E`, and returns that error.
func expectThrows<E: Error>(
  _ type: E.Type, _ what: String, file: StaticString = #fileID, line: UInt = #line, _ body: () throws -> Void
) throws -> E {
  do {
    try body()
  } catch let error as E {
    return error
  }
  throw CheckFailed(description: "\(file):\(line): \(what) threw no \(type)")
}

/// A value that differs between ranks and elements and is exact as a Float, as are sums over ranks.
func sample(rank: Int, index: Int) -> Int { (rank + 1) * 10_007 + index % 5_003 }

internal import CMPI

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

// Collectives over values: convenient, allocating, for set-up and reports rather than for a training step.

extension Communicator {
  /// `value` of every rank, in rank order.
  /// - Throws: `MPIError`.
  public func allGather<T: MPIElement>(_ value: T) throws -> [T] {
    var values = [T](repeating: value, count: size)
    try values.withUnsafeMutableBufferPointer { receive in
      try withUnsafePointer(to: value) { try allGather(UnsafeBufferPointer(start: $0, count: 1), into: receive) }
    }
    return values
  }

  /// The bytes of every rank, in rank order; each rank may give another number of them.
  /// - Throws: `MPIError`.
  public func allGather(bytes: [UInt8]) throws -> [[UInt8]] {
    let counts = try allGather(bytes.count)
    var offsets: [Int] = []
    var total = 0
    for count in counts {
      offsets.append(total)
      total += count
    }
    // One byte more, so that there is memory to point at when nobody sends anything.
    var all = [UInt8](repeating: 0, count: total + 1)
    try all.withUnsafeMutableBufferPointer { receive in
      try (bytes + [0]).withUnsafeBufferPointer { send in
        guard let from = send.baseAddress, let to = receive.baseAddress else { return }
        try allGather(send: from, count: bytes.count, receive: to, counts: counts, offsets: offsets)
      }
    }
    return zip(offsets, counts).map { Array(all[$0..<($0 + $1)]) }
  }

  /// The text of every rank, in rank order.
  /// - Throws: `MPIError`.
  public func allGather(_ text: String) throws -> [String] {
    try allGather(bytes: Array(text.utf8)).map { String(decoding: $0, as: UTF8.self) }
  }

  /// The bytes of `root`, on every rank. What other ranks pass is ignored.
  /// - Throws: `MPIError`.
  public func broadcast(bytes: [UInt8], root: Int) throws -> [UInt8] {
    let count = try broadcast(integer: bytes.count, root: root)
    var received = rank == root ? bytes : [UInt8](repeating: 0, count: count)
    try received.withUnsafeMutableBytes { try broadcast($0, root: root) }
    return received
  }

  /// The value of `root`, on every rank. Other ranks may pass nil; `root` must not. Finite floating-point values arrive
  /// bit for bit; others cannot be encoded.
  ///
  /// The root encodes before anything is sent; when that fails all ranks throw.
  /// - Throws: `MPIError`; `PeerError` on every rank when the value cannot be encoded or decoded.
  public func broadcast<T: Codable>(value: T?, root: Int) throws -> T {
    let bytes = try agree(on: "sending a value of type \(T.self)") { () throws -> [UInt8] in
      guard rank == root else { return [] }
      guard let value else { throw MissingValue(root: root) }
      return Array(try JSONEncoder().encode(Transmitted(value: value)))
    }
    let received = try broadcast(bytes: bytes, root: root)
    return try agree(on: "receiving a value of type \(T.self)") {
      try JSONDecoder().decode(Transmitted<T>.self, from: Data(received)).value
    }
  }

  func broadcast(integer: Int, root: Int) throws -> Int {
    var integer = integer
    try withUnsafeMutableBytes(of: &integer) { try broadcast($0, root: root) }
    return integer
  }
}

/// JSON's outermost value is an object here, so that a bare number or text can be sent too.
private struct Transmitted<T: Codable>: Codable {
  let value: T
}

private struct MissingValue: Error, CustomStringConvertible {
  let root: Int
  var description: String { "rank \(root) is the root and must give the value" }
}

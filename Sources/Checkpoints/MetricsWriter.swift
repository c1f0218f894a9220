import Foundation
import SystemPackage

#if canImport(Darwin)
  import Darwin
#elseif canImport(Musl)
  import Musl
#else
  import Glibc
#endif

/// A value in a line of metrics.
public enum MetricValue: Sendable, Hashable {
  /// A whole number.
  case integer(Int)
  /// A double, written as the shortest decimal number that reads back the same. JSON has no NaN and no infinity: they
  /// become `null`.
  case number(Double)
  /// A float32, likewise: 0.1 is written `0.1`, not as its nearest double.
  case single(Float)
  /// Several numbers, each as `number`.
  case numbers([Double])
  /// A string.
  case text(String)
  /// True or false.
  case flag(Bool)
  /// No value.
  case null
}

extension MetricValue: ExpressibleByIntegerLiteral, ExpressibleByFloatLiteral, ExpressibleByStringLiteral,
  ExpressibleByBooleanLiteral
{
  /// An `.integer`.
  public init(integerLiteral value: Int) { self = .integer(value) }
  /// A `.number`.
  public init(floatLiteral value: Double) { self = .number(value) }
  /// A `.text`.
  public init(stringLiteral value: String) { self = .text(value) }
  /// A `.flag`.
  public init(booleanLiteral value: Bool) { self = .flag(value) }
}

/// Writes `metrics.jsonl`: one JSON object a line, keys in the order given, each line one `write` to the end of the
/// file.
///
/// A program killed at any moment leaves whole lines, and at most one half line at the end, which the next writer
/// removes. Owned by one thread.
public final class MetricsWriter {
  /// The file.
  public let path: FilePath
  private let file: OpenFile
  private var line: [UInt8] = []

  /// Opens the file, creating it if it is not there, and removes a half-written last line.
  ///
  /// - Throws: `FileError`.
  public init(_ path: FilePath) throws {
    self.path = path
    file = try OpenFile(path, O_RDWR | O_CREAT | O_APPEND, action: "open")
    try Self.removeHalfLine(file)
    line.reserveCapacity(1024)
  }

  /// Appends one line.
  ///
  /// - Parameter fields: keys and values, written in this order.
  /// - Throws: `FileError`, as when the disk is full; the file then ends with the line before.
  public func append(_ fields: KeyValuePairs<String, MetricValue>) throws {
    try append(ordered: fields.lazy.map { ($0.key, $0.value) })
  }

  /// Appends one line from keys and values that are put together at run time.
  ///
  /// Named apart from `append(_:)`, as a literal there would otherwise become a dictionary, whose order varies.
  ///
  /// - Throws: `FileError`, as when the disk is full; the file then ends with the line before.
  public func append(ordered fields: some Sequence<(String, MetricValue)>) throws {
    line.removeAll(keepingCapacity: true)
    line.append("{")
    for (key, value) in fields {
      if line.count > 1 { line.append(",") }
      line.appendJSON(key)
      line.append(":")
      switch value {
      case .integer(let value): line.appendJSON(value)
      case .number(let value): line.appendJSON(value)
      case .single(let value): line.appendJSON(value)
      case .numbers(let values):
        for (index, value) in values.enumerated() {
          line.append(index == 0 ? "[" : ",")
          line.appendJSON(value)
        }
        line.append(values.isEmpty ? "[]" : "]")
      case .text(let value): line.appendJSON(value)
      case .flag(let value): line.append(value ? "true" : "false")
      case .null: line.append("null")
      }
    }
    line.append("}\n")
    let before = try file.size()
    do {
      try blockingFileSizeSignal { try line.withUnsafeBytes { try file.write($0) } }
    } catch {
      try? file.truncate(to: before)  // a part may have been written; the error itself is the one to report
      throw error
    }
  }

  /// Waits until all lines are on the disk. Worth calling before a checkpoint is saved: then no checkpoint is newer
  /// than its metrics.
  ///
  /// - Throws: `FileError`.
  public func synchronize() throws { try file.synchronize() }

  /// What `truncate(_:afterStep:droppingEvents:)` found.
  public struct Truncation: Sendable, Equatable {
    /// Lines that stay.
    public var kept = 0
    /// Lines of later steps, or of the events to be dropped.
    public var dropped = 0
    /// Lines that were no JSON object with a step, such as one that was half written; dropped as well.
    public var damaged = 0
  }

  /// Removes what a run wrote after the step it is resumed at, so that its file reads like that of a run never
  /// interrupted.
  ///
  /// The file is replaced in one step. A file that is not there stays so.
  ///
  /// - Parameters:
  ///   - path: the metrics file; no writer may have it open.
  ///   - step: lines of later steps are removed.
  ///   - events: lines of these events (their `event`) at this very step are removed as well, such as the `summary`
  ///     of a run that had ended there, and events that the resumed run will write again.
  /// - Throws: `FileError`.
  @discardableResult
  public static func truncate(
    _ path: FilePath, afterStep step: Int, droppingEvents events: Set<String> = []
  ) throws -> Truncation {
    var result = Truncation()
    guard try FileSystem.kind(path) != nil else { return result }
    let bytes = try OpenFile.reading(path).readAll()
    var kept: [UInt8] = []
    kept.reserveCapacity(bytes.count)
    for line in bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: true) {
      guard let entry = try? JSONDecoder().decode(LineKeys.self, from: Data(line)) else {
        result.damaged += 1
        continue
      }
      if entry.step > step || (entry.step == step && events.contains(entry.event ?? "")) {
        result.dropped += 1
      } else {
        result.kept += 1
        kept += line
        kept.append(UInt8(ascii: "\n"))
      }
    }
    if kept != bytes {
      try FileSystem.replaceFile(path) { file in try kept.withUnsafeBytes { try file.write($0) } }
    }
    return result
  }

  private struct LineKeys: Decodable {
    let step: Int
    let event: String?
  }

  /// Cuts off what follows the last line break.
  private static func removeHalfLine(_ file: borrowing OpenFile) throws {
    let size = try file.size()
    var end = size
    var piece = [UInt8](repeating: 0, count: min(size, 4096))
    while end > 0 {
      let start = max(0, end - piece.count)
      let count = end - start
      try piece.withUnsafeMutableBytes {
        try file.read(into: UnsafeMutableRawBufferPointer(rebasing: $0[0..<count]), at: start)
      }
      if let index = piece[0..<count].lastIndex(of: UInt8(ascii: "\n")) {
        end = start + index + 1
        break
      }
      end = start
    }
    if end != size { try file.truncate(to: end) }
  }
}

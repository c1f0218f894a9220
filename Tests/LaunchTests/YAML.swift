import Foundation

/// A value of a YAML document, of the part of YAML that our manifest uses: block mappings and sequences by indentation,
/// flow ones in a line, plain and double-quoted scalars, comments.
indirect enum YAML: Equatable, Sendable {
  case text(String)
  case list([YAML])
  case map([String: YAML])

  /// What is wrong with a document, and in which line.
  struct Failure: Error, CustomStringConvertible {
    var line: Int
    var reason: String
    var description: String { "line \(line): \(reason)" }
  }

  /// The value behind names and, in lists, numbers.
  subscript(_ path: String...) -> YAML? {
    var value = self
    for key in path {
      switch value {
      case .map(let entries):
        guard let entry = entries[key] else { return nil }
        value = entry
      case .list(let items):
        guard let index = Int(key), items.indices.contains(index) else { return nil }
        value = items[index]
      case .text: return nil
      }
    }
    return value
  }

  /// The text of a scalar.
  var string: String? { if case .text(let text) = self { text } else { nil } }
  /// The items of a list.
  var items: [YAML]? { if case .list(let items) = self { items } else { nil } }

  init(parsing text: String) throws {
    var lines: [Line] = []
    for (index, raw) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
      // A comment begins the line or follows a space; our scalars hold neither.
      let bare = raw.firstRange(of: /(^|\s)#.*$/).map { raw[..<$0.lowerBound] } ?? raw
      let content = bare.drop { $0 == " " }
      if content.contains("\t") { throw Failure(line: index + 1, reason: "a tab") }
      guard !content.allSatisfy(\.isWhitespace) else { continue }
      lines.append(
        Line(
          number: index + 1, indentation: bare.count - content.count,
          content: content.reversed().drop { $0 == " " }.reversed().map(String.init).joined()))
    }
    var rest = lines[...]
    self = try Self.block(&rest, indentation: lines.first?.indentation ?? 0)
    if let line = rest.first {
      throw Failure(line: line.number, reason: "indented less or more than what it belongs to")
    }
  }

  private struct Line {
    var number: Int
    var indentation: Int
    var content: String
  }

  private static func block(_ lines: inout ArraySlice<Line>, indentation: Int) throws -> YAML {
    guard let first = lines.first else { return .text("") }
    return first.content.hasPrefix("- ")
      ? try sequence(&lines, indentation: indentation) : try mapping(&lines, indentation: indentation)
  }

  private static func sequence(_ lines: inout ArraySlice<Line>, indentation: Int) throws -> YAML {
    var items: [YAML] = []
    while let line = lines.first, line.indentation == indentation, line.content.hasPrefix("- ") {
      let content = String(line.content.dropFirst(2))
      if content.contains(/^[A-Za-z0-9_.\/-]+:( |$)/) {
        // A mapping that begins behind the dash: its names stand two columns in.
        lines[lines.startIndex] = Line(number: line.number, indentation: indentation + 2, content: content)
        items.append(try mapping(&lines, indentation: indentation + 2))
      } else {
        lines.removeFirst()
        items.append(try flow(content, line: line.number))
      }
    }
    return .list(items)
  }

  private static func mapping(_ lines: inout ArraySlice<Line>, indentation: Int) throws -> YAML {
    var entries: [String: YAML] = [:]
    while let line = lines.first, line.indentation == indentation, !line.content.hasPrefix("- ") {
      guard let colon = line.content.firstRange(of: /:( |$)/) else {
        throw Failure(line: line.number, reason: "expected 'name: value', found '\(line.content)'")
      }
      let name = String(line.content[..<colon.lowerBound])
      let value = String(line.content[colon.upperBound...])
      if entries[name] != nil { throw Failure(line: line.number, reason: "'\(name)' is given twice") }
      lines.removeFirst()
      if !value.isEmpty {
        entries[name] = try flow(value, line: line.number)
      } else if let next = lines.first, next.indentation > indentation {
        entries[name] = try block(&lines, indentation: next.indentation)
      } else {
        throw Failure(line: line.number, reason: "'\(name)' has no value")
      }
    }
    return .map(entries)
  }

  /// `[a, "b"]`, `{a: b}` or a scalar; flow collections of ours hold scalars only.
  private static func flow(_ text: String, line: Int) throws -> YAML {
    func inner() -> [String] {
      text.dropFirst().dropLast().split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) }
    }
    switch (text.first, text.last) {
    case ("[", "]"): return .list(try inner().map { .text(try scalar($0, line)) })
    case ("{", "}"):
      var entries: [String: YAML] = [:]
      for pair in inner() {
        guard let colon = pair.firstRange(of: ": ") else { throw Failure(line: line, reason: "expected a name in {}") }
        entries[String(pair[..<colon.lowerBound])] = .text(try scalar(String(pair[colon.upperBound...]), line))
      }
      return .map(entries)
    default: return .text(try scalar(text, line))
    }
  }

  private static func scalar(_ text: String, _ line: Int) throws -> String {
    if text.hasPrefix("\"") {
      guard text.count >= 2, text.hasSuffix("\"") else { throw Failure(line: line, reason: "a quote is not closed") }
      return String(text.dropFirst().dropLast())
    }
    if let first = text.first, "[]{}&*!|>%@`".contains(first) {
      throw Failure(line: line, reason: "'\(text)' is more than this reader knows")
    }
    return text
  }
}

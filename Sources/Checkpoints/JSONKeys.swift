import Foundation

/// Finds a name that occurs twice in one JSON object. Foundation's decoder keeps one of the two without a word.
///
/// - Parameter json: text that the decoder has accepted.
/// - Returns: the first repeated name, or nil.
func firstRepeatedKey(in json: UnsafeRawBufferPointer) -> String? {
  var seen: [Set<[UInt8]>] = []
  var index = 0
  while index < json.count {
    switch json[index] {
    case UInt8(ascii: "{"), UInt8(ascii: "["): seen.append([])
    case UInt8(ascii: "}"), UInt8(ascii: "]"): _ = seen.popLast()
    case UInt8(ascii: "\""):
      let start = index
      index += 1
      var escaped = false
      while index < json.count && json[index] != UInt8(ascii: "\"") {
        if json[index] == UInt8(ascii: "\\") {
          escaped = true
          index += 1
        }
        index += 1
      }
      var next = index + 1
      while next < json.count, [0x20, 0x09, 0x0A, 0x0D].contains(json[next]) { next += 1 }
      // Only a name is followed by a colon.
      if next < json.count, json[next] == UInt8(ascii: ":"), let last = seen.indices.last {
        var name = Array(json[(start + 1)..<index])
        if escaped {
          // "\u0061" and "a" are the same name.
          let quoted = Data(json[start...index])
          if let text = try? JSONDecoder().decode(String.self, from: quoted) { name = Array(text.utf8) }
        }
        if !seen[last].insert(name).inserted { return String(decoding: name, as: UTF8.self) }
      }
    default: break
    }
    index += 1
  }
  return nil
}

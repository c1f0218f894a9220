// JSON as bytes, for the two places where the order of keys and the spelling of numbers must not vary: the header of a
// safetensors file and the lines of metrics.jsonl. Everything else uses Foundation's coders.

extension [UInt8] {
  mutating func append(_ text: StaticString) {
    text.withUTF8Buffer { append(contentsOf: $0) }
  }

  /// Appends a quoted JSON string.
  mutating func appendJSON(_ text: String) {
    append(UInt8(ascii: "\""))
    for byte in text.utf8 {
      switch byte {
      case UInt8(ascii: "\""): append("\\\"")
      case UInt8(ascii: "\\"): append("\\\\")
      case UInt8(ascii: "\n"): append("\\n")
      case UInt8(ascii: "\r"): append("\\r")
      case UInt8(ascii: "\t"): append("\\t")
      case 0..<0x20:
        append("\\u00")
        let digits: StaticString = "0123456789abcdef"
        append(digits.utf8Start[Int(byte >> 4)])
        append(digits.utf8Start[Int(byte & 15)])
      default: append(byte)
      }
    }
    append(UInt8(ascii: "\""))
  }

  mutating func appendJSON(_ value: some BinaryInteger) {
    append(contentsOf: String(value).utf8)
  }

  /// Appends the shortest decimal number that reads back as the same value; `null` where JSON has no number for it.
  mutating func appendJSON<Number: BinaryFloatingPoint & LosslessStringConvertible>(_ value: Number) {
    if value.isFinite { append(contentsOf: value.description.utf8) } else { append("null") }
  }
}

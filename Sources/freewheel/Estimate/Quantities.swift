import ArgumentParser
import Foundation

/// Seconds, written `50us`, `0.1ms` or `0.001s`.
struct Latency: ExpressibleByArgument {
  var seconds: Double

  init?(argument: String) {
    let units = [("us", 1e-6), ("µs", 1e-6), ("ms", 1e-3), ("s", 1.0)]
    guard let (suffix, factor) = units.first(where: { argument.hasSuffix($0.0) }),
      let value = Double(argument.dropLast(suffix.count)), value >= 0, value.isFinite
    else { return nil }
    seconds = value * factor
  }
}

/// Bytes a second, written `1gbit`, `100mbit`, `12.5GB`, or `unlimited`.
struct Bandwidth: ExpressibleByArgument {
  var bytesPerSecond: Double

  init?(argument: String) {
    if argument == "unlimited" {
      bytesPerSecond = .infinity
      return
    }
    let units = [("gbit", 1e9 / 8), ("mbit", 1e6 / 8), ("kbit", 1e3 / 8), ("GB", 1e9), ("MB", 1e6)]
    guard let (suffix, factor) = units.first(where: { argument.hasSuffix($0.0) }),
      let value = Double(argument.dropLast(suffix.count)), value > 0, value.isFinite
    else { return nil }
    bytesPerSecond = value * factor
  }
}

/// Values separated by commas.
struct CommaList<Element: Sendable>: Sendable {
  var values: [Element]

  init?(_ text: String, _ read: (String) -> Element?) {
    let parts = text.split(separator: ",", omittingEmptySubsequences: false).map { read(String($0)) }
    let values = parts.compactMap(\.self)
    guard values.count == parts.count else { return nil }
    self.values = values
  }
}

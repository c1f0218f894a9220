#if canImport(Darwin)
  import Darwin
#elseif canImport(Musl)
  import Musl
#else
  import Glibc
#endif

/// Who writes: names of temporary files carry it, so that those of dead processes are known.
struct ProcessIdentity: Equatable {
  let host: String
  let process: Int32

  static let current: ProcessIdentity = {
    var name = [CChar](repeating: 0, count: 256)
    let host =
      gethostname(&name, name.count - 1) == 0
      ? String(decoding: name.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self) : ""
    let plain = host.filter { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == ".") }
    return ProcessIdentity(host: plain.isEmpty ? "unknown" : plain, process: getpid())
  }()

  var suffix: String { "\(host)-\(process)" }

  init(host: String, process: Int32) { (self.host, self.process) = (host, process) }

  /// Reads the identity at the end of a name made with `suffix`.
  init?(endOf name: String) {
    let parts = name.split(separator: "-")
    guard parts.count >= 2, let process = Int32(parts[parts.count - 1]) else { return nil }
    self.init(host: String(parts[parts.count - 2]), process: process)
  }

  /// Whether a process of this host with this number is alive.
  var isAlive: Bool { kill(process, 0) == 0 || errno == EPERM }
}

/// Seconds since 1970.
func currentTime() -> Int { time(nil) }

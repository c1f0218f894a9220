import Checkpoints
import Foundation
import Glibc
import Monitoring

/// Asks the system for single facts. What it does not say is empty, nil or 0.
enum HostProbe {
  /// The text of a small file, without what surrounds it.
  static func text(_ path: String) -> String? {
    (try? String(contentsOfFile: path, encoding: .utf8))?.trimmingCharacters(in: .whitespacesAndNewlines)
  }

  static func number(in path: String) -> Int? { text(path).flatMap { Int($0) } }

  /// A checksum that tells builds of the running program apart.
  static let executableFingerprint: String = {
    guard let bytes = try? Data(contentsOf: URL(fileURLWithPath: "/proc/self/exe"), options: .alwaysMapped) else {
      return ""
    }
    return bytes.withUnsafeBytes { CRC32.of($0) }.hexadecimal
  }()

  static var processor: String {
    let line = text("/proc/cpuinfo")?.split(separator: "\n").first { $0.hasPrefix("model name") }
    return line?.split(separator: ":").last?.trimmingCharacters(in: .whitespaces) ?? "unknown"
  }

  /// The numbers of the cores that this process may run on.
  static var allowedCores: [Int] {
    let prefix = "Cpus_allowed_list:"
    guard let line = text("/proc/self/status")?.split(separator: "\n").first(where: { $0.hasPrefix(prefix) }) else {
      return []
    }
    return coreNumbers(line.dropFirst(prefix.count).trimmingCharacters(in: .whitespaces))
  }

  /// Reads `0-3,8`.
  static func coreNumbers(_ list: String) -> [Int] {
    list.split(separator: ",").flatMap { part -> [Int] in
      let ends = part.split(separator: "-").compactMap { Int($0) }
      guard let first = ends.first, let last = ends.last, first <= last else { return [] }
      return Array(first...last)
    }
  }

  /// Cores of time that the control group of this process has, of the second version or the first.
  static var quota: Double? {
    if let limit = text("/sys/fs/cgroup/cpu.max")?.split(separator: " ").compactMap({ Double($0) }), limit.count == 2 {
      return limit[0] / limit[1]
    }
    guard let quota = number(in: "/sys/fs/cgroup/cpu/cpu.cfs_quota_us"), quota > 0,
      let period = number(in: "/sys/fs/cgroup/cpu/cpu.cfs_period_us"), period > 0
    else { return nil }
    return Double(quota) / Double(period)
  }

  /// Bytes of memory, and bytes that can be had now.
  static var memory: (total: Int, free: Int) {
    func kibibytes(_ name: String) -> Int {
      let line = text("/proc/meminfo")?.split(separator: "\n").first { $0.hasPrefix(name + ":") }
      return line?.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0
    }
    let (total, free) = (kibibytes("MemTotal") * 1024, kibibytes("MemAvailable") * 1024)
    guard let limit = number(in: "/sys/fs/cgroup/memory.max"), limit < total else { return (total, free) }
    let used = number(in: "/sys/fs/cgroup/memory.current") ?? 0
    return (limit, min(free, max(0, limit - used)))
  }

  /// Bytes of the file system of a folder, and those free.
  static func space(of folder: String) -> (total: Int, free: Int) {
    var status = statvfs()
    guard statvfs(folder, &status) == 0 else { return (0, 0) }
    return (Int(status.f_blocks) * Int(status.f_frsize), Int(status.f_bavail) * Int(status.f_frsize))
  }

  /// The word in brackets of `always [madvise] never`.
  static var hugePages: String {
    guard let words = text("/sys/kernel/mm/transparent_hugepage/enabled"), let open = words.firstIndex(of: "["),
      let close = words.firstIndex(of: "]"), open < close
    else { return "" }
    return String(words[words.index(after: open)..<close])
  }

  /// A limit of this process; nil where there is none.
  static func limit(_ resource: __rlimit_resource_t) -> Int? {
    var limit = rlimit()
    guard getrlimit(resource, &limit) == 0, limit.rlim_cur != rlim_t.max else { return nil }
    return Int(clamping: limit.rlim_cur)
  }

  static var interfaces: [HostFacts.Interface] {
    HostNetwork.all.map { network in
      let number = UInt32(bigEndian: network.address)
      return HostFacts.Interface(
        name: network.name, address: [24, 16, 8, 0].map { String(number >> $0 & 255) }.joined(separator: "."),
        megabits: Self.number(in: "/sys/class/net/\(network.name)/speed").flatMap { $0 > 0 ? $0 : nil })
    }
  }
}

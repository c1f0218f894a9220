import Foundation

/// The memory that this process has used.
enum PeakMemory {
  /// The most bytes that were resident at a time since the program started, windows shared with other ranks included;
  /// 0 where the system does not say.
  static var byteCount: Int {
    // VmHWM rather than getrusage's ru_maxrss, which remembers what the process was before it became this program.
    guard let status = try? String(contentsOfFile: "/proc/self/status", encoding: .utf8),
      let line = status.split(separator: "\n").first(where: { $0.hasPrefix("VmHWM:") }),
      let kibibytes = line.split(whereSeparator: { $0 == " " || $0 == "\t" }).dropFirst().first.flatMap({ Int($0) })
    else { return 0 }
    return kibibytes * 1024
  }
}

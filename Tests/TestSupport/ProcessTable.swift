import Foundation

/// What `/proc` says about the processes of a job.
enum ProcessTable {
  /// Processes of a session that are still running (not zombies), the session's leader included.
  static func members(ofSession session: pid_t) -> [pid_t] {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
    return names.compactMap { pid_t($0) }.filter { isRunning($0, session: session) }
  }

  /// The value of an environment variable a process was started with.
  static func environmentValue(_ name: String, of process: pid_t) -> String? {
    guard let bytes = FileManager.default.contents(atPath: "/proc/\(process)/environ") else { return nil }
    let prefix = Data((name + "=").utf8)
    for entry in bytes.split(separator: 0) where entry.starts(with: prefix) {
      return String(decoding: entry.dropFirst(prefix.count), as: UTF8.self)
    }
    return nil
  }

  private static func isRunning(_ process: pid_t, session: pid_t) -> Bool {
    // PID (NAME) STATE PPID PGRP SESSION …: the name may hold spaces and parentheses, so read on from its last ')'.
    guard let bytes = FileManager.default.contents(atPath: "/proc/\(process)/stat") else { return false }
    let line = String(decoding: bytes, as: UTF8.self)
    guard let end = line.lastIndex(of: ")") else { return false }
    let fields = line[line.index(after: end)...].split(separator: " ")
    return fields.count > 3 && fields[0] != "Z" && fields[0] != "X" && pid_t(fields[3]) == session
  }
}

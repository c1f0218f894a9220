import Foundation
import Testing

/// A child process, started with posix_spawn.
///
/// Not Foundation's `Process`: that learns of a child's end from a socket that children started at the same time by
/// other tests inherit, so one that lives on (a server) keeps every waiting test waiting.
final class Subprocess {
  private var pid: pid_t = 0
  private var status: Int32?
  private let outputPaths: [String]

  /// Starts a program found on PATH (or given by path), with nothing on its standard input.
  ///
  /// - Parameters:
  ///   - command: program and arguments.
  ///   - environment: variables to add to this process's; nil removes one.
  ///   - folder: where its outputs are kept.
  init(_ command: [String], environment: [String: String?] = [:], outputsIn folder: TemporaryFolder) throws {
    outputPaths = try ["out", "err"].map { try folder.write("\($0)-\(UUID().uuidString)", []) }
    var variables = ProcessInfo.processInfo.environment
    for (name, value) in environment { variables[name] = value }

    var actions = posix_spawn_file_actions_t()
    try #require(posix_spawn_file_actions_init(&actions) == 0)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
    posix_spawn_file_actions_addopen(&actions, 1, outputPaths[0], O_WRONLY, 0)
    posix_spawn_file_actions_addopen(&actions, 2, outputPaths[1], O_WRONLY, 0)

    var arguments = command.map { strdup($0) } + [nil]
    var environment = variables.map { strdup("\($0)=\($1)") } + [nil]
    defer { for string in arguments + environment { free(string) } }
    try #require(posix_spawnp(&pid, command[0], &actions, nil, &arguments, &environment) == 0, "\(command)")
  }

  deinit {
    if status == nil {
      kill(pid, SIGKILL)
      wait()
    }
  }

  /// What it has written to standard output and standard error so far.
  var output: String { text(0) }
  var errors: String { text(1) }
  private func text(_ index: Int) -> String {
    (try? String(contentsOfFile: outputPaths[index], encoding: .utf8)) ?? ""
  }

  /// Waits for the end; returns the exit code, or 128 plus the signal.
  @discardableResult
  func wait() -> Int32 {
    var raw: Int32 = 0
    while status == nil {
      if waitpid(pid, &raw, 0) == pid {
        status = raw & 0x7f == 0 ? raw >> 8 & 0xff : 128 + raw & 0x7f
      } else if errno != EINTR {
        status = -1
      }
    }
    return status ?? -1
  }
}

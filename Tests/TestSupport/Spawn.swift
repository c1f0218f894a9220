import Foundation

/// One output stream of a job, captured in an unnamed temporary file.
///
/// A file rather than a pipe: it never fills up, so nothing has to drain it while the job runs, and it can be read at
/// any time.
final class CapturedStream: Sendable {
  let descriptor: Int32

  init(name: String) throws {
    var template = Array("\(NSTemporaryDirectory())freewheel-test-\(name)-XXXXXX".utf8CString)
    descriptor = mkstemp(&template)
    guard descriptor >= 0 else {
      let reason = String(cString: strerror(errno))
      throw RunnerError(description: "cannot create a temporary file for a job's \(name): \(reason)")
    }
    unlink(template)
    _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
    _ = fcntl(descriptor, F_SETFL, O_APPEND)
  }

  deinit { close(descriptor) }

  /// Everything written so far. Reads at its own position and so does not disturb the writers'.
  var text: String {
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 65_536)
    while true {
      let count = pread(descriptor, &chunk, chunk.count, off_t(bytes.count))
      if count < 0 && errno == EINTR { continue }
      if count <= 0 { break }
      bytes += chunk[0..<count]
    }
    return String(decoding: bytes, as: UTF8.self)
  }
}

/// Creates a process that leads a session of its own.
///
/// Foundation's `Process` has neither a session nor a way to reset what the test process ignores, hence posix_spawn.
func spawn(
  executable: String, arguments: [String], environment: [String: String], directory: String?, output: Int32,
  errorOutput: Int32
) throws -> pid_t {
  var actions = posix_spawn_file_actions_t()
  posix_spawn_file_actions_init(&actions)
  defer { posix_spawn_file_actions_destroy(&actions) }
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)
  posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO)
  posix_spawn_file_actions_adddup2(&actions, errorOutput, STDERR_FILENO)

  var attributes = posix_spawnattr_t()
  posix_spawnattr_init(&attributes)
  defer { posix_spawnattr_destroy(&attributes) }
  var allSignals = sigset_t()
  sigfillset(&allSignals)
  posix_spawnattr_setsigdefault(&attributes, &allSignals)
  var noSignals = sigset_t()
  sigemptyset(&noSignals)
  posix_spawnattr_setsigmask(&attributes, &noSignals)
  let newSession: Int32 = 0x80  // POSIX_SPAWN_SETSID, which <spawn.h> shows only to GNU sources
  posix_spawnattr_setflags(&attributes, Int16(newSession | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK))

  var command = [executable] + arguments
  if let directory {
    // posix_spawn's own change of directory is not in every C library; a shell that replaces itself is.
    command = ["/bin/sh", "-c", "cd \"$0\" && exec \"$@\"", directory] + command
  }
  let variables = environment.map { "\($0.key)=\($0.value)" }
  var process: pid_t = 0
  let code = withCStrings(command) { argv in
    withCStrings(variables) { envp in
      posix_spawn(&process, command[0], &actions, &attributes, argv, envp)
    }
  }
  guard code == 0 else {
    throw RunnerError(description: "cannot start \(executable): \(String(cString: strerror(code)))")
  }
  return process
}

/// Calls `body` with a null-terminated array of C strings that lives as long as the call.
private func withCStrings<R>(_ strings: [String], _ body: ([UnsafeMutablePointer<CChar>?]) -> R) -> R {
  let copies = strings.map { strdup($0) }
  defer { copies.forEach { free($0) } }
  return body(copies + [nil])
}

import SystemPackage

/// Text for people, unbuffered, so that it arrives whole and in order through `mpirun`'s pipes.
enum Console {
  /// Writes to standard output.
  static func write(_ text: String) { write(text, to: .standardOutput) }

  /// Writes to standard error.
  static func writeError(_ text: String) { write(text, to: .standardError) }

  /// What cannot be written (a closed pipe, a full disk behind a redirection) is lost; the run is not.
  private static func write(_ text: String, to file: FileDescriptor) {
    _ = try? file.writeAll(text.utf8)
  }
}

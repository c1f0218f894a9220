import Foundation

/// A file for what a long measurement finds. That it can be written is found out before; what is there is replaced only
/// when all has been measured.
struct ReportFile {
  private let target: URL
  /// Beside the target, so that renaming it is one step.
  private let temporary: URL

  /// Begins a file that will be at `path`.
  ///
  /// - Throws: ``ReportFileError`` if it could not be written, or if something is there that is no file.
  init(_ path: String) throws {
    target = URL(fileURLWithPath: path).resolvingSymlinksInPath()
    let name = ".\(target.lastPathComponent)-\(ProcessInfo.processInfo.processIdentifier)"
    temporary = target.deletingLastPathComponent().appendingPathComponent(name)
    var status = stat()
    if stat(target.path, &status) == 0, status.st_mode & S_IFMT != S_IFREG {
      throw ReportFileError(path: path, reason: "it exists and is not an ordinary file")
    }
    let descriptor = open(temporary.path, O_WRONLY | O_CREAT | O_TRUNC, 0o644)
    guard descriptor >= 0 else { throw ReportFileError(path: path, reason: String(cString: strerror(errno))) }
    close(descriptor)
  }

  /// Puts `data` in place of what was there.
  ///
  /// - Throws: ``ReportFileError``, with the old file as it was.
  func write(_ data: Data) throws {
    do {
      try data.write(to: temporary)
    } catch {
      throw ReportFileError(path: target.path, reason: error.localizedDescription)
    }
    guard rename(temporary.path, target.path) == 0 else {
      throw ReportFileError(path: target.path, reason: String(cString: strerror(errno)))
    }
  }

  /// Puts `report` in place of what was there, with its keys in order.
  ///
  /// - Throws: ``ReportFileError``, with the old file as it was.
  func write(json report: some Encodable) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
    try write(encoder.encode(report) + Data("\n".utf8))
  }

  /// Leaves nothing behind of a file that was not written.
  func discard() { unlink(temporary.path) }
}

/// Why a report cannot be written.
struct ReportFileError: Error, CustomStringConvertible {
  let path: String
  let reason: String
  var description: String { "\(path) cannot be written: \(reason)" }
}

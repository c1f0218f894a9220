// Every call into the operating system goes through here: the return code becomes an error in `check` and nowhere else.

import SystemPackage

#if canImport(Darwin)
  import Darwin
#elseif canImport(Musl)
  import Musl
#else
  import Glibc
#endif

/// A call on a file or folder that the operating system refused.
public struct FileError: Error, CustomStringConvertible, Sendable {
  /// What was being done, as a verb: "write", "create the folder".
  public let action: String
  /// The file or folder it was done to.
  public let path: FilePath
  /// The operating system's error code.
  public let errno: Errno
  /// What else helps, such as how much had been written; empty if nothing.
  public let note: String

  init(_ action: String, _ path: FilePath, _ errno: Errno, note: String = "") {
    (self.action, self.path, self.errno, self.note) = (action, path, errno, note)
  }

  /// One line: `cannot write runs/a/model.safetensors: No space left on device (4096 of 8192 bytes written)`.
  public var description: String {
    "cannot \(action) \(path): \(errno)" + (note.isEmpty ? "" : " (\(note))")
  }
}

/// Runs one system call, again if a signal interrupted it.
///
/// - Throws: `FileError` if it returns a negative number.
@discardableResult
func check<Result: SignedInteger>(
  _ action: String, _ path: FilePath, note: @autoclosure () -> String = "", _ call: () -> Result
) throws -> Result {
  while true {
    let result = call()
    if result >= 0 { return result }
    let code = Errno(rawValue: errno)
    if code != .interrupted { throw FileError(action, path, code, note: note()) }
  }
}

/// An open file, closed when it goes out of scope.
struct OpenFile: ~Copyable {
  let descriptor: Int32
  let path: FilePath

  init(_ path: FilePath, _ flags: Int32, action: String) throws {
    self.path = path
    descriptor = try check(action, path) { path.withPlatformString { open($0, flags | O_CLOEXEC, 0o644) } }
  }

  static func reading(_ path: FilePath) throws -> OpenFile { try OpenFile(path, O_RDONLY, action: "open") }

  /// Creates a file that must not be there yet.
  static func creating(_ path: FilePath) throws -> OpenFile {
    try OpenFile(path, O_WRONLY | O_CREAT | O_EXCL, action: "create")
  }

  deinit {
    // The result says nothing new: whatever must be on disk was flushed, and checked, before.
    _ = close(descriptor)
  }

  /// Size in bytes.
  func size() throws -> Int {
    var status = stat()
    try check("read the size of", path) { fstat(descriptor, &status) }
    return Int(status.st_size)
  }

  var isRegularFile: Bool {
    var status = stat()
    return fstat(descriptor, &status) == 0 && status.st_mode & S_IFMT == S_IFREG
  }

  /// Writes all of `bytes` at the file's position.
  func write(_ bytes: UnsafeRawBufferPointer) throws {
    guard let base = bytes.baseAddress else { return }
    var done = 0
    while done < bytes.count {
      // One call moves at most 2 GiB on Linux; pieces of 1 GiB stay clear of every system's limit.
      let piece = min(bytes.count - done, 1 << 30)
      done += try check("write", path, note: "\(done) of \(bytes.count) bytes of this piece written") {
        platformWrite(descriptor, base + done, piece)
      }
    }
  }

  /// Fills `buffer` from the file's bytes starting at `offset`.
  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int) throws {
    guard let base = buffer.baseAddress else { return }
    var done = 0
    while done < buffer.count {
      let piece = min(buffer.count - done, 1 << 30)
      let got = try check("read", path) { pread(descriptor, base + done, piece, off_t(offset + done)) }
      if got == 0 {
        throw FileError("read", path, .ioError, note: "the file ends at byte \(offset + done), while being read")
      }
      done += got
    }
  }

  func readAll() throws -> [UInt8] {
    let count = try size()
    var bytes = [UInt8](repeating: 0, count: count)
    try bytes.withUnsafeMutableBytes { try read(into: $0, at: 0) }
    return bytes
  }

  /// Waits until the file's bytes are on the disk.
  func synchronize() throws { try check("flush", path) { fsync(descriptor) } }

  func truncate(to size: Int) throws { try check("shorten", path) { ftruncate(descriptor, off_t(size)) } }
}

private func platformWrite(_ descriptor: Int32, _ bytes: UnsafeRawPointer, _ count: Int) -> Int {
  write(descriptor, bytes, count)
}

import SystemPackage

#if canImport(Darwin)
  import Darwin
#elseif canImport(Musl)
  import Musl
#else
  import Glibc
#endif

/// Operations on folders and names.
enum FileSystem {
  enum Kind { case file, folder, symbolicLink, other }

  /// What is at `path`, or nil if nothing is; `followLinks` looks at what a symbolic link points to.
  static func kind(_ path: FilePath, followLinks: Bool = true) throws -> Kind? {
    var status = stat()
    do {
      try check("look at", path) { path.withPlatformString { followLinks ? stat($0, &status) : lstat($0, &status) } }
    } catch let error as FileError where error.errno == .noSuchFileOrDirectory || error.errno == .notDirectory {
      return nil
    }
    switch status.st_mode & S_IFMT {
    case S_IFREG: return .file
    case S_IFDIR: return .folder
    case S_IFLNK: return .symbolicLink
    default: return .other
    }
  }

  /// When the entry itself was last changed, in seconds since 1970.
  static func modificationTime(_ path: FilePath) throws -> Int {
    var status = stat()
    try check("look at", path) { path.withPlatformString { lstat($0, &status) } }
    #if canImport(Darwin)
      return status.st_mtimespec.tv_sec
    #else
      return status.st_mtim.tv_sec
    #endif
  }

  /// Creates one folder; its parent must be there.
  static func createFolder(_ path: FilePath) throws {
    try check("create the folder", path) { path.withPlatformString { mkdir($0, 0o755) } }
  }

  /// Creates a folder and the folders above it, where they are missing.
  static func createFolders(_ path: FilePath) throws {
    if try kind(path) == .folder { return }
    let parent = path.removingLastComponent()
    if !parent.isEmpty && parent != path { try createFolders(parent) }
    do {
      try createFolder(path)
    } catch let error as FileError where error.errno == .fileExists {
      // Another process may have been quicker; anything but a folder is an obstacle.
      guard try kind(path) == .folder else { throw FileError("create the folder", path, .notDirectory) }
    }
  }

  /// Waits until the folder's list of names is on the disk.
  static func synchronizeFolder(_ path: FilePath) throws {
    let folder = try OpenFile(path, O_RDONLY | O_DIRECTORY, action: "open the folder")
    do {
      try folder.synchronize()
    } catch let error as FileError where error.errno == .invalidArgument || error.errno == .notSupported {
      // Some network file systems know no fsync of a folder and keep names in order by themselves.
    }
  }

  /// Names in a folder, sorted, without `.` and `..`.
  static func names(in folder: FilePath) throws -> [String] {
    guard let stream = folder.withPlatformString({ opendir($0) }) else {
      throw FileError("list the folder", folder, Errno(rawValue: errno))
    }
    defer { closedir(stream) }
    var names: [String] = []
    errno = 0
    while let entry = readdir(stream) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) {
        // d_name is a C array that ends in a zero byte; it is read within the entry's own memory.
        $0.withMemoryRebound(to: CChar.self, capacity: MemoryLayout.size(ofValue: $0.pointee)) { String(cString: $0) }
      }
      if name != "." && name != ".." { names.append(name) }
      errno = 0
    }
    if errno != 0 { throw FileError("list the folder", folder, Errno(rawValue: errno)) }
    return names.sorted()
  }

  static func move(_ source: FilePath, to target: FilePath) throws {
    try check("rename", source, note: "to \(target)") {
      source.withPlatformString { source in target.withPlatformString { rename(source, $0) } }
    }
  }

  static func removeFile(_ path: FilePath) throws {
    try check("delete", path) { path.withPlatformString { unlink($0) } }
  }

  /// Deletes a folder and all in it; symbolic links are deleted, not followed.
  static func removeTree(_ path: FilePath) throws {
    if try kind(path, followLinks: false) == .folder {
      for name in try names(in: path) { try removeTree(path.appending(name)) }
      try check("delete the folder", path) { path.withPlatformString { rmdir($0) } }
    } else {
      try removeFile(path)
    }
  }

  /// Makes `link` a symbolic link to `target`, replacing one that is there in a single step.
  static func replaceLink(_ link: FilePath, target: String) throws {
    let name = link.lastComponent?.string ?? "link"
    let temporary = link.removingLastComponent().appending(".\(name)-\(ProcessIdentity.current.suffix)")
    try? removeFile(temporary)  // left by a killed process that had the same process number
    try check("create the link", link) { temporary.withPlatformString { symlink(target, $0) } }
    do {
      try move(temporary, to: link)
    } catch {
      try? removeFile(temporary)
      throw error
    }
  }

  /// The path without symbolic links, `.` and `..`.
  static func resolved(_ path: FilePath) throws -> FilePath {
    guard let pointer = path.withPlatformString({ realpath($0, nil) }) else {
      throw FileError("find", path, Errno(rawValue: errno))
    }
    defer { free(pointer) }
    return FilePath(platformString: pointer)
  }

  /// Writes a file so that a reader sees the old one or the new one, never a part.
  ///
  /// `body` writes into a hidden file next to it, which is flushed and renamed; on an error it is removed.
  static func replaceFile<Result>(_ path: FilePath, _ body: (borrowing OpenFile) throws -> Result) throws -> Result {
    let name = path.lastComponent?.string ?? "file"
    let folder = path.removingLastComponent()
    let temporary = folder.appending(".\(name)-\(ProcessIdentity.current.suffix)")
    try? removeFile(temporary)  // left by a killed process that had the same process number
    do {
      let result: Result
      do {
        let file = try OpenFile.creating(temporary)
        result = try blockingFileSizeSignal { try body(file) }
        try file.synchronize()
      }
      try move(temporary, to: path)
      try synchronizeFolder(folder.isEmpty ? "." : folder)
      return result
    } catch {
      try? removeFile(temporary)
      throw error
    }
  }
}

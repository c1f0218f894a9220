import SystemPackage

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// Owner of a block of bytes that never change after initialisation: a read-only file mapping, or memory from malloc.
///
/// Sound as `@unchecked Sendable`: `base` and `count` are constants, nobody holds a writable pointer once the
/// initialiser has returned, and the memory lives exactly as long as this object.
final class ByteStorage: @unchecked Sendable {
  private enum Release { case unmap, free, deallocate }

  let base: UnsafeRawPointer
  let count: Int
  private let release: Release

  private init(base: UnsafeRawPointer, count: Int, release: Release) {
    self.base = base
    self.count = count
    self.release = release
  }

  /// Takes over `memory`, which came from malloc or realloc; frees it in the end.
  convenience init(adoptingMalloc memory: UnsafeMutableRawPointer, count: Int) {
    self.init(base: UnsafeRawPointer(memory), count: count, release: .free)
  }

  /// Memory to be filled once, by whoever asked for it, and then handed over with `finish`.
  struct Unfinished: ~Copyable {
    let memory: UnsafeMutablePointer<UInt8>
    let count: Int

    fileprivate init(memory: UnsafeMutablePointer<UInt8>, count: Int) {
      self.memory = memory
      self.count = count
    }

    deinit { free(memory) }

    /// Ends the writing: from here on the bytes are constants.
    consuming func finish() -> ByteStorage {
      let storage = ByteStorage(adoptingMalloc: UnsafeMutableRawPointer(memory), count: count)
      discard self
      return storage
    }
  }

  /// Memory for `count` bytes, not yet written.
  static func allocate(_ count: Int) throws -> Unfinished {
    guard let memory = malloc(max(count, 1)) else {
      throw DatasetError(.tooLarge, "there is no memory for \(count) bytes of data")
    }
    return Unfinished(memory: memory.assumingMemoryBound(to: UInt8.self), count: count)
  }

  /// A copy of `bytes`.
  convenience init(copying bytes: [UInt8]) {
    let memory = UnsafeMutableRawPointer.allocate(byteCount: max(bytes.count, 1), alignment: 1)
    bytes.withUnsafeBytes { source in
      if let start = source.baseAddress { memory.copyMemory(from: start, byteCount: source.count) }
    }
    self.init(base: UnsafeRawPointer(memory), count: bytes.count, release: .deallocate)
  }

  /// Maps a regular file read-only, so that all ranks of a node share one copy in the page cache.
  ///
  /// A file that is cut short by another program *after* this call ends in SIGBUS when its lost part is read; files are
  /// checked for their full length here, and data files are replaced by renaming, never rewritten in place.
  convenience init(mapping path: String) throws {
    let descriptor: FileDescriptor
    do {
      // Non-blocking, so that a FIFO by that name is refused below instead of being waited for.
      descriptor = try FileDescriptor.open(FilePath(path), .readOnly, options: [.closeOnExec, .nonBlocking])
    } catch let error as Errno {
      let kind: DatasetError.Kind = error == .noSuchFileOrDirectory ? .missing : .unreadable
      throw DatasetError(kind, path: path, "cannot be opened: \(error)")
    }
    defer { try? descriptor.close() }

    var status = stat()
    guard fstat(descriptor.rawValue, &status) == 0 else {
      throw DatasetError(.unreadable, path: path, "cannot be examined: \(Errno(rawValue: errno))")
    }
    guard status.st_mode & S_IFMT == S_IFREG else {
      throw DatasetError(.unreadable, path: path, "is not a regular file; a file of data was expected")
    }
    let count = Int(status.st_size)
    guard count > 0 else {
      // mmap refuses a length of zero; an empty file is for the parser to complain about.
      self.init(copying: [])
      return
    }
    guard let memory = mmap(nil, count, PROT_READ, MAP_PRIVATE, descriptor.rawValue, 0), memory != MAP_FAILED else {
      throw DatasetError(.unreadable, path: path, "cannot be mapped into memory: \(Errno(rawValue: errno))")
    }
    // All of it will be read, images in every epoch and in random order: ask for the whole file now. A hint, so its
    // result is moot.
    _ = madvise(memory, count, MADV_WILLNEED)
    self.init(base: UnsafeRawPointer(memory), count: count, release: .unmap)
  }

  deinit {
    switch release {
    case .unmap: munmap(UnsafeMutableRawPointer(mutating: base), count)
    case .free: free(UnsafeMutableRawPointer(mutating: base))
    case .deallocate: UnsafeMutableRawPointer(mutating: base).deallocate()
    }
  }
}

/// A part of a ``ByteStorage``, which it keeps alive.
struct ByteView: Sendable {
  let storage: ByteStorage
  let offset: Int
  let count: Int

  init(_ storage: ByteStorage, offset: Int = 0) {
    self.storage = storage
    self.offset = offset
    self.count = storage.count - offset
  }

  /// Lends the bytes; they live as long as `body` runs, whoever else lets go of them.
  func withBytes<Result>(_ body: (UnsafeBufferPointer<UInt8>) throws -> Result) rethrows -> Result {
    try withExtendedLifetime(storage) { try body(UnsafeBufferPointer(start: start, count: count)) }
  }

  /// The first byte, for whoever keeps this view as long as the pointer.
  var start: UnsafePointer<UInt8> { (storage.base + offset).assumingMemoryBound(to: UInt8.self) }
}

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// CIFAR-10 in its author's binary version (www.cs.toronto.edu/~kriz/cifar.html): six files of records, each of one
/// byte of label and 3072 of image, which is 32×32 red bytes row by row, then the green and the blue ones.
extension LabeledImages {
  /// Loads training and test set from a folder, or from the folder `cifar-10-batches-bin` in it: 32×32 colour images,
  /// ten classes.
  ///
  /// The training set is `data_batch_1.bin` to `data_batch_5.bin`, in this order, and the test set `test_batch.bin`; a
  /// file may hold any number of records from one (the original ones hold 10,000). `batches.meta.txt`, the names of the
  /// classes, is not needed. Images stay where they are: files are mapped, so that the ranks of a machine share one
  /// copy in the page cache, and only the labels are copied.
  ///
  /// - Parameters:
  ///   - folder: the folder's path.
  ///   - name: what the data set is called in progress lines.
  /// - Throws: ``DatasetError`` naming the folder or file, what was found, what was expected, and what to do.
  public static func cifar10(
    folder: String, name: String = "CIFAR-10"
  ) throws -> (train: LabeledImages, test: LabeledImages) {
    guard isFolder(folder) else {
      throw DatasetError(
        .missing, path: folder, "no such folder; `launch/fetch-data cifar10 \(folder)` makes and fills it")
    }
    let place = CIFAR10.place(in: folder)
    let absent = CIFAR10.allFiles.filter { !exists("\(place)/\($0)") }
    guard absent.isEmpty else { throw CIFAR10.absence(of: absent, from: place, askedFor: folder) }
    func load(_ files: [String], _ part: String) throws -> LabeledImages {
      try CIFAR10.load(files.map { "\(place)/\($0)" }, name: "\(name) \(part)")
    }
    return (
      train: try load(CIFAR10.trainingFiles, "training set"), test: try load([CIFAR10.testFile], "test set")
    )
  }

  /// Whether `folder`, or `cifar-10-batches-bin` in it, holds the six files, so that ``cifar10(folder:name:)`` has
  /// something to load. Reads none of them.
  public static func containsCIFAR10(folder: String) -> Bool {
    let place = CIFAR10.place(in: folder)
    return CIFAR10.allFiles.allSatisfy { exists("\(place)/\($0)") }
  }
}

/// The files of the binary version.
private enum CIFAR10 {
  static let trainingFiles = (1...5).map { "data_batch_\($0).bin" }
  static let testFile = "test_batch.bin"
  static let allFiles = trainingFiles + [testFile]
  /// The folder that the archive unpacks to.
  static let archiveFolder = "cifar-10-batches-bin"

  static let (channels, side, classCount) = (3, 32, 10)
  static let imageSize = channels * side * side
  static let recordSize = 1 + imageSize

  /// Where the files are: `folder` itself, unless it has none of them but the archive's folder.
  static func place(in folder: String) -> String {
    let inside = "\(folder)/\(archiveFolder)"
    return isFolder(inside) && !allFiles.contains { exists("\(folder)/\($0)") } ? inside : folder
  }

  /// What is wrong where files are missing; other things that are there may tell.
  static func absence(of files: [String], from place: String, askedFor folder: String) -> DatasetError {
    let fetch = "`launch/fetch-data cifar10 \(folder)` gets it"
    let python = ["data_batch_1", "cifar-10-batches-py", "cifar-10-python.tar.gz"]
    let matlab = ["data_batch_1.mat", "cifar-10-batches-mat", "cifar-10-matlab.tar.gz"]
    for (version, names) in [("Python", python), ("Matlab", matlab)] {
      if let found = names.first(where: { exists("\(place)/\($0)") }) {
        return DatasetError(
          .missing, path: place,
          "holds \(found), of the \(version) version of CIFAR-10; the binary version is read here: \(fetch)")
      }
    }
    if exists("\(place)/cifar-10-binary.tar.gz") {
      return DatasetError(
        .missing, path: place,
        "holds cifar-10-binary.tar.gz, which must be unpacked: tar -xzf cifar-10-binary.tar.gz in that folder")
    }
    return DatasetError(
      .missing, path: place,
      "\(files.count) of the 6 files are not there: looked for \(files.joined(separator: ", ")), here and in "
        + "\(archiveFolder), for CIFAR-10 in its binary version; \(fetch)")
  }

  /// Maps files, and reads their records as one set.
  static func load(_ paths: [String], name: String) throws -> LabeledImages {
    var parts: [ImageRecords.Part] = []
    for path in paths {
      let storage = try ByteStorage(mapping: path)
      guard storage.count > 0 else {
        throw DatasetError(.empty, path: path, "is empty; records of \(recordSize) bytes were expected: fetch it again")
      }
      let count = storage.count / recordSize
      guard storage.count == count * recordSize else {
        throw DatasetError(
          .truncated, path: path,
          "holds \(storage.count) bytes, which is not a whole number of records of \(recordSize): it was cut off, or "
            + "is not of CIFAR-10's binary version; fetch it again")
      }
      parts.append(ImageRecords.Part(bytes: ByteView(storage, offset: 1), count: count))
    }
    let records = ImageRecords(parts: parts, stride: recordSize)
    let labels = try ByteStorage.allocate(records.count)
    var next = 0
    for (part, path) in zip(parts, paths) {
      for record in 0..<part.count {
        let label = part.bytes.storage.base.load(fromByteOffset: record * recordSize, as: UInt8.self)
        guard label < classCount else {
          throw DatasetError(
            .label, path: path,
            "record \(record) has label \(label); 0 to \(classCount - 1) were expected: is this CIFAR-10's binary "
              + "version? Fetch it again")
        }
        labels.memory[next] = label
        next += 1
      }
    }
    return try LabeledImages(
      name: name, records: records, labels: ByteView(labels.finish()), channels: channels, height: side, width: side,
      classCount: classCount)
  }
}

private func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// Data sets in the four files of the MNIST distribution, which Fashion-MNIST, KMNIST and others copy.
extension LabeledImages {
  /// Loads training and test set from a folder: 28×28 grey images, ten classes.
  ///
  /// Each of the four files may be spelled `train-images-idx3-ubyte` or `train-images.idx3-ubyte`, plain or with `.gz`;
  /// the plain one is taken where there are several, because it can be mapped.
  ///
  /// - Parameters:
  ///   - folder: the folder's path.
  ///   - name: what the data set is called in progress lines.
  /// - Throws: ``DatasetError`` naming the folder or file, what was found, what was expected, and what to do.
  public static func mnist(
    folder: String, name: String = "MNIST"
  ) throws -> (train: LabeledImages, test: LabeledImages) {
    guard isFolder(folder) else {
      throw DatasetError(
        .missing, path: folder, "no such folder; `launch/fetch-data mnist \(folder)` makes and fills it")
    }
    let absent = MNISTFile.allCases.filter { $0.path(in: folder) == nil }
    guard absent.isEmpty else {
      let names = absent.map { $0.spellings.joined(separator: " or ") }.joined(separator: ", ")
      throw DatasetError(
        .missing, path: folder,
        "\(absent.count) of the 4 files are not there: looked for \(names), each also with .gz; "
          + "`launch/fetch-data mnist \(folder)` gets them")
    }
    func load(_ images: MNISTFile, _ labels: MNISTFile, _ part: String) throws -> LabeledImages {
      try IDX.load(
        images: images.path(in: folder) ?? images.spellings[0], labels: labels.path(in: folder) ?? labels.spellings[0],
        name: "\(name) \(part)", classCount: 10, expectedSize: (28, 28))
    }
    return (
      train: try load(.trainImages, .trainLabels, "training set"), test: try load(.testImages, .testLabels, "test set")
    )
  }

  /// Whether `folder` holds the four files, so that ``mnist(folder:name:)`` has something to load. Reads none of them.
  public static func containsMNIST(folder: String) -> Bool {
    MNISTFile.allCases.allSatisfy { $0.path(in: folder) != nil }
  }
}

/// The four files of the distribution.
private enum MNISTFile: CaseIterable {
  case trainImages, trainLabels, testImages, testLabels

  /// With the hyphen of the web page, and with the dot that the archives hold.
  var spellings: [String] {
    switch self {
    case .trainImages: ["train-images-idx3-ubyte", "train-images.idx3-ubyte"]
    case .trainLabels: ["train-labels-idx1-ubyte", "train-labels.idx1-ubyte"]
    case .testImages: ["t10k-images-idx3-ubyte", "t10k-images.idx3-ubyte"]
    case .testLabels: ["t10k-labels-idx1-ubyte", "t10k-labels.idx1-ubyte"]
    }
  }

  /// The first of the file's names, plain ones first, that exists in `folder`.
  func path(in folder: String) -> String? {
    (spellings + spellings.map { $0 + ".gz" }).map { "\(folder)/\($0)" }.first { access($0, F_OK) == 0 }
  }
}

/// Whether there is a folder at `path`.
func isFolder(_ path: String) -> Bool {
  var status = stat()
  return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
}

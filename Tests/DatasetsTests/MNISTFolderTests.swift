import Foundation
import Testing

@testable import Datasets

@Suite struct MNISTFolderTests {
  let folder: TemporaryFolder
  init() throws { folder = try TemporaryFolder() }

  static let names = [
    "train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte",
  ]

  /// Training set of `train` images all of value 1, test set of `test` images of value 2, labels counting up.
  func contents(train: Int, test: Int) -> [[UInt8]] {
    var files: [[UInt8]] = []
    for (count, value) in [(train, 1), (test, 2)] as [(Int, UInt8)] {
      files.append(idx([UInt32(count), 28, 28], [UInt8](repeating: value, count: count * 784)))
      files.append(idx([UInt32(count)], (0..<count).map { UInt8($0 % 10) }))
    }
    return files
  }

  @Test(arguments: Packing.allCases, [false, true])
  func everyUsualNameIsFound(_ packing: Packing, _ dotted: Bool) throws {
    #expect(!LabeledImages.containsMNIST(folder: folder.path))
    for (name, bytes) in zip(Self.names, contents(train: 5, test: 3)) {
      let spelled = dotted ? name.replacingOccurrences(of: "-idx", with: ".idx") : name
      try folder.write(spelled + (packing == .gzip ? ".gz" : ""), packing.pack(bytes))
    }
    #expect(LabeledImages.containsMNIST(folder: folder.path))
    let (train, test) = try LabeledImages.mnist(folder: folder.path)
    #expect(train.count == 5 && test.count == 3)
    #expect(train.allImages.allSatisfy { $0 == 1 } && test.allImages.allSatisfy { $0 == 2 })
    #expect(train.allLabels == [0, 1, 2, 3, 4])
    #expect(train.name == "MNIST training set" && test.name == "MNIST test set")
  }

  @Test func plainFilesGoBeforeCompressedOnes() throws {
    for (name, bytes) in zip(Self.names, contents(train: 5, test: 3)) {
      try folder.write(name, bytes)
      try folder.write(name + ".gz", gzipStored(Array("not this one".utf8)))
    }
    #expect(try LabeledImages.mnist(folder: folder.path).train.count == 5)
  }

  @Test func aMissingFolderIsNamedWithWhatToDo() throws {
    let nowhere = folder.path + "/nowhere"
    expectError(.missing, nowhere, "no such folder", "launch/fetch-data mnist \(nowhere)") {
      _ = try LabeledImages.mnist(folder: nowhere)
    }
    let file = try folder.write("file", [1])
    expectError(.missing, file, "no such folder") { _ = try LabeledImages.mnist(folder: file) }
  }

  @Test func missingFilesAreNamedWithWhatToDo() throws {
    for (name, bytes) in zip(Self.names, contents(train: 5, test: 3)).dropFirst(2) { try folder.write(name, bytes) }
    #expect(!LabeledImages.containsMNIST(folder: folder.path))
    expectError(
      .missing, folder.path, "2 of the 4 files", "train-images-idx3-ubyte or train-images.idx3-ubyte",
      "train-labels-idx1-ubyte", ".gz", "launch/fetch-data mnist \(folder.path)"
    ) { _ = try LabeledImages.mnist(folder: folder.path) }
  }

  @Test func imagesOfAnotherSizeAreRefused() throws {
    for (name, bytes) in zip(Self.names, contents(train: 5, test: 3)) { try folder.write(name, bytes) }
    try folder.write(Self.names[2], idx([3, 32, 28], [UInt8](repeating: 0, count: 3 * 32 * 28)))
    expectError(.shape, Self.names[2], "32×28", "28×28 were expected") {
      _ = try LabeledImages.mnist(folder: folder.path)
    }
  }
}

@Suite(.enabled(if: hasRealMNIST, "the real files lie beside the package")) struct RealMNISTTests {
  @Test func countsAndFirstLabelsAreThePublishedOnes() throws {
    let (train, test) = try LabeledImages.mnist(folder: realMNIST)
    #expect(train.count == 60_000 && test.count == 10_000)
    #expect(Array(train.allLabels[..<5]) == [5, 0, 4, 1, 9])
    #expect(Array(test.allLabels[..<5]) == [7, 2, 1, 0, 4])
    var perClass = [Int](repeating: 0, count: 10)
    for label in test.allLabels { perClass[Int(label)] += 1 }
    #expect(perClass == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009])
  }

  @Test func theCustomaryNormalisationIsTheTestSetsNeighbour() throws {
    // 0.1307 and 0.3081 are the training set's; the test set, which is faster to go through, lies close.
    let measured = Normalization(measuring: try LabeledImages.mnist(folder: realMNIST).test)
    #expect(abs(measured.mean[0] - 0.1325) < 1e-4)
    #expect(abs(measured.standardDeviation[0] - 0.3105) < 1e-4)
  }
}

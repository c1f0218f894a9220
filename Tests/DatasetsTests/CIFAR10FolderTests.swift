import Foundation
import Testing

@testable import Datasets

@Suite struct CIFAR10FolderTests {
  let folder: TemporaryFolder
  init() throws { folder = try TemporaryFolder() }

  static let names = (1...5).map { "data_batch_\($0).bin" } + ["test_batch.bin"]

  /// Records of a file: labels count up from `first`; image i's bytes are i plus a hundred times the channel.
  static func records(_ count: Int, first: Int) -> [UInt8] {
    var bytes: [UInt8] = []
    for index in first..<(first + count) {
      bytes.append(UInt8(index % 10))
      for channel in 0..<3 { bytes += [UInt8](repeating: value(index, channel), count: 1024) }
    }
    return bytes
  }

  static func value(_ index: Int, _ channel: Int) -> UInt8 {
    UInt8(truncatingIfNeeded: index + 100 * channel)
  }

  /// Five training files of 1, 2, 3, 1 and 2 records, and 4 test records.
  static let contents: [[UInt8]] = [
    records(1, first: 0), records(2, first: 1), records(3, first: 3), records(1, first: 6), records(2, first: 7),
    records(4, first: 50),
  ]

  func write(in subfolder: String = "", leavingOut absent: Set<String> = []) throws {
    if !subfolder.isEmpty {
      try FileManager.default.createDirectory(
        atPath: folder.path + "/" + subfolder, withIntermediateDirectories: true)
    }
    for (name, bytes) in zip(Self.names, Self.contents) where !absent.contains(name) {
      try folder.write(subfolder.isEmpty ? name : "\(subfolder)/\(name)", bytes)
    }
  }

  @Test(arguments: ["", "cifar-10-batches-bin"]) func recordsOfAllFilesAreRead(_ subfolder: String) throws {
    #expect(!LabeledImages.containsCIFAR10(folder: folder.path))
    try write(in: subfolder)
    #expect(LabeledImages.containsCIFAR10(folder: folder.path))
    let (train, test) = try LabeledImages.cifar10(folder: folder.path)
    #expect(train.count == 9 && test.count == 4)
    #expect(train.description == "CIFAR-10 training set: 9 images of 3×32×32, 10 classes")
    #expect(test.name == "CIFAR-10 test set")
    #expect(train.allLabels == Array(0..<9) && test.allLabels == [0, 1, 2, 3])
    for (data, first) in [(train, 0), (test, 50)] {
      for index in 0..<data.count {
        let image = data.image(index)
        #expect(image.count == 3072)
        for channel in 0..<3 {
          let value = Self.value(first + index, channel)
          #expect(image[(channel * 1024)..<((channel + 1) * 1024)].allSatisfy { $0 == value })
        }
      }
    }
  }

  /// Images that lie between labels, in several files, go into batches as others do.
  @Test func batchesAreAssembledAcrossFiles() throws {
    try write()
    let train = try LabeledImages.cifar10(folder: folder.path).train
    let copy = try LabeledImages(
      name: "copy", images: train.allImages, labels: train.allLabels, channels: 3, height: 32, width: 32,
      classCount: 10)
    func batch(_ data: LabeledImages) throws -> [UInt32] {
      let assembler = try BatchAssembler(
        data, normalization: .cifar10, format: BatchFormat(layout: .channelsLast, elementType: .bfloat16),
        augmentation: Augmentation(cropPadding: 4, flip: .random, cutout: 8), seed: 1)
      return AugmentationTests.filled(assembler, count: 9) {
        assembler.fill([8, 0, 2, 1, 3, 7, 6, 5, 4], epoch: 1, into: $0, labels: $1)
      }
    }
    #expect(try batch(train) == batch(copy))
    #expect(Normalization(measuring: train) == Normalization(measuring: copy))
  }

  @Test func theFolderItselfGoesBeforeTheArchives() throws {
    try write(in: "cifar-10-batches-bin")
    try write()
    try folder.write("test_batch.bin", Self.records(1, first: 0))
    #expect(try LabeledImages.cifar10(folder: folder.path).test.count == 1)
  }

  @Test func missingThingsAreNamedWithWhatToDo() throws {
    let nowhere = folder.path + "/nowhere"
    expectError(.missing, nowhere, "no such folder", "launch/fetch-data cifar10 \(nowhere)") {
      _ = try LabeledImages.cifar10(folder: nowhere)
    }
    expectError(.missing, folder.path, "6 of the 6 files", "data_batch_1.bin", "launch/fetch-data cifar10") {
      _ = try LabeledImages.cifar10(folder: folder.path)
    }
    try write(leavingOut: ["data_batch_3.bin", "test_batch.bin"])
    #expect(!LabeledImages.containsCIFAR10(folder: folder.path))
    expectError(.missing, "2 of the 6 files", "looked for data_batch_3.bin, test_batch.bin", "binary version") {
      _ = try LabeledImages.cifar10(folder: folder.path)
    }
  }

  @Test func otherVersionsAreRecognised() throws {
    try folder.write("cifar-10-binary.tar.gz", [0x1f, 0x8b])
    expectError(.missing, "cifar-10-binary.tar.gz", "must be unpacked") {
      _ = try LabeledImages.cifar10(folder: folder.path)
    }
    try folder.write("data_batch_1.mat", [1])
    expectError(.missing, "Matlab version", "binary version") { _ = try LabeledImages.cifar10(folder: folder.path) }
    try folder.write("data_batch_1", [0x80, 2])
    expectError(.missing, "data_batch_1, of the Python version", "binary version", "launch/fetch-data cifar10") {
      _ = try LabeledImages.cifar10(folder: folder.path)
    }
    let other = try TemporaryFolder()
    try FileManager.default.createDirectory(
      atPath: other.path + "/cifar-10-batches-py", withIntermediateDirectories: true)
    expectError(.missing, "cifar-10-batches-py, of the Python version") {
      _ = try LabeledImages.cifar10(folder: other.path)
    }
  }

  @Test func damagedFilesAreRefused() throws {
    try write()
    try folder.write("data_batch_2.bin", Array(Self.contents[1].dropLast()))
    expectError(.truncated, "data_batch_2.bin", "6145 bytes", "records of 3073", "cut off") {
      _ = try LabeledImages.cifar10(folder: folder.path)
    }
    try folder.write("data_batch_2.bin", [])
    expectError(.empty, "data_batch_2.bin", "empty", "3073") { _ = try LabeledImages.cifar10(folder: folder.path) }
    var bytes = Self.contents[1]
    bytes[3073] = 10
    try folder.write("data_batch_2.bin", bytes)
    expectError(.label, "data_batch_2.bin", "record 1 has label 10", "0 to 9") {
      _ = try LabeledImages.cifar10(folder: folder.path)
    }
    try folder.write("data_batch_2.bin", Self.contents[1])
    try FileManager.default.removeItem(atPath: folder.path + "/test_batch.bin")
    try FileManager.default.createDirectory(
      atPath: folder.path + "/test_batch.bin", withIntermediateDirectories: true)
    expectError(.unreadable, "test_batch.bin", "not a regular file") {
      _ = try LabeledImages.cifar10(folder: folder.path)
    }
  }
}

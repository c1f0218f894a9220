import Foundation
import Testing

@testable import Datasets

/// How a file is laid down on disk; every property must hold for both.
enum Packing: CaseIterable {
  case plain, gzip

  func pack(_ bytes: [UInt8]) -> [UInt8] { self == .plain ? bytes : gzipStored(bytes) }
}

@Suite struct IDXTests {
  let folder: TemporaryFolder
  init() throws { folder = try TemporaryFolder() }

  /// Three images of 2×4 and their labels.
  let images = (0..<24).map { UInt8($0 * 10) }
  let labels: [UInt8] = [7, 0, 9]

  func load(
    _ imageFile: [UInt8], _ labelFile: [UInt8], _ packing: Packing, size: (height: Int, width: Int)? = nil
  ) throws -> LabeledImages {
    try IDX.load(
      images: folder.write("some-images", packing.pack(imageFile)),
      labels: folder.write("some-labels", packing.pack(labelFile)), name: "some", classCount: 10, expectedSize: size)
  }

  @Test(arguments: Packing.allCases) func goodFilesAreReadByteForByte(_ packing: Packing) throws {
    let data = try load(idx([3, 2, 4], images), idx([3], labels), packing, size: (2, 4))
    #expect(data.count == 3 && data.channels == 1 && data.height == 2 && data.width == 4 && data.classCount == 10)
    #expect(data.allImages == images)
    #expect(data.allLabels == labels)
    #expect(data.image(1) == Array(images[8..<16]))
    #expect(data.description == "some: 3 images of 1×2×4, 10 classes")
  }

  @Test func bytesOutliveTheFile() throws {
    let data = try load(idx([3, 2, 4], images), idx([3], labels), .plain)
    try FileManager.default.removeItem(at: folder.url)
    let copy = data
    #expect(copy.allImages == images)
  }

  @Test(arguments: Packing.allCases) func foreignFilesAreRefused(_ packing: Packing) throws {
    expectError(.notIDX, "some-images", "3c 68 74 6d", "00 00 08 03", "error page") {
      _ = try load(Array("<html><body>404</body></html>".utf8), idx([3], labels), packing)
    }
    expectError(.truncated, "some-images", "ends after 2 bytes", "header of 16") {
      _ = try load([0, 0], idx([3], labels), packing)
    }
    expectError(.truncated, "some-labels", "ends after 7 bytes", "header of 8") {
      _ = try load(idx([3, 2, 4], images), Array(idx([3], labels)[..<7]), packing)
    }
  }

  @Test func anEmptyFileIsRefused() throws {
    expectError(.truncated, "some-images", "ends after 0 bytes") { _ = try load([], idx([3], labels), .plain) }
    expectError(.truncated, "some-images", "ends after 0 bytes") { _ = try load([], idx([3], labels), .gzip) }
  }

  @Test(
    arguments: Packing.allCases,
    [
      (0x09, "signed byte (0x09)"), (0x0b, "16-bit integer (0x0b)"), (0x0c, "32-bit integer (0x0c)"),
      (0x0d, "float (0x0d)"), (0x0e, "double (0x0e)"), (0x77, "0x77, which IDX does not know"),
    ] as [(UInt8, String)])
  func otherElementTypesAreRefused(_ packing: Packing, _ type: (code: UInt8, name: String)) throws {
    expectError(.elementType, "some-images", type.name, "unsigned bytes (0x08)") {
      _ = try load(idx([3, 2, 4], images, magic: [0, 0, type.code, 3]), idx([3], labels), packing)
    }
  }

  @Test(arguments: Packing.allCases) func otherDimensionsAreRefused(_ packing: Packing) throws {
    expectError(.shape, "some-images", "has 1 dimensions", "3 were expected", "swapped") {
      _ = try load(idx([3], labels), idx([3, 2, 4], images), packing)
    }
    expectError(.shape, "some-images", "2×4", "28×28") {
      _ = try load(idx([3, 2, 4], images), idx([3], labels), packing, size: (28, 28))
    }
    expectError(.shape, "some-images", "3×0×4", "at least 1") {
      _ = try load(idx([3, 0, 4], []), idx([3], labels), packing)
    }
    expectError(.empty, "some-images", "no examples") {
      _ = try load(idx([0, 2, 4], []), idx([0], []), packing)
    }
  }

  @Test(arguments: Packing.allCases) func lyingExtentsAreRefusedWithoutBelievingThem(_ packing: Packing) throws {
    let most = UInt32.max
    expectError(.tooLarge, "some-images", "4294967295×4294967295×4294967295", "more than any memory") {
      _ = try load(idx([most, most, most], images), idx([3], labels), packing)
    }
    // 2^62 bytes: fits an Int, but no memory; what counts are the 24 bytes that are there.
    expectError(.truncated, "some-images", "holds 24 bytes", "4611686018427387904") {
      _ = try load(idx([1 << 31, 1 << 31, 1], images), idx([3], labels), packing)
    }
  }

  @Test(arguments: Packing.allCases) func shortAndLongFilesAreRefused(_ packing: Packing) throws {
    expectError(.truncated, "some-images", "holds 23 bytes", "announces 24", "cut off") {
      _ = try load(idx([3, 2, 4], images.dropLast()), idx([3], labels), packing)
    }
    expectError(.truncated, "some-labels", "holds 0 bytes", "announces 3") {
      _ = try load(idx([3, 2, 4], images), idx([3], []), packing)
    }
    expectError(.trailingBytes, "some-images", "24", "announces") {
      _ = try load(idx([3, 2, 4], images + [1]), idx([3], labels), packing)
    }
  }

  @Test(arguments: Packing.allCases) func labelsMustFitTheImages(_ packing: Packing) throws {
    expectError(.label, "some-labels", "label 10 at index 2", "0 to 9") {
      _ = try load(idx([3, 2, 4], images), idx([3], [9, 0, 10]), packing)
    }
    expectError(.counts, "some-labels", "2 labels", "some-images", "3 images") {
      _ = try load(idx([3, 2, 4], images), idx([2], [1, 2]), packing)
    }
  }

  @Test func whatIsNotAReadableFileIsRefused() throws {
    let good = try folder.write("labels", idx([3], labels))
    func load(_ path: String) throws {
      _ = try IDX.load(images: path, labels: good, name: "some", classCount: 10)
    }
    expectError(.missing, "nowhere", "No such file") { try load(folder.path + "/nowhere") }
    expectError(.unreadable, folder.path, "not a regular file") { try load(folder.path) }
    let pipe = folder.path + "/pipe"
    #expect(mkfifo(pipe, 0o600) == 0)
    expectError(.unreadable, "pipe", "not a regular file") { try load(pipe) }
    expectError(.missing, "a b/two", "No such file") { try load("a\nb/two") }
  }

  @Test func imagesInMemoryAreChecked() throws {
    func make(_ images: Int, _ labels: [UInt8], _ shape: (Int, Int, Int) = (2, 3, 4), classes: Int = 10) throws {
      _ = try LabeledImages(
        name: "mine", images: [UInt8](repeating: 1, count: images), labels: labels,
        channels: shape.0, height: shape.1, width: shape.2, classCount: classes)
    }
    try make(48, [0, 1])
    expectError(.counts, "mine", "47 image bytes", "24 bytes per label") { try make(47, [0, 1]) }
    expectError(.counts, "72 image bytes and 2 labels") { try make(72, [0, 1]) }
    expectError(.empty, "no examples") { try make(0, []) }
    expectError(.label, "label 5 at index 1", "0 to 4") { try make(48, [4, 5], classes: 5) }
    expectError(.shape, "2×0×4") { try make(48, [0, 1], (2, 0, 4)) }
    expectError(.argument, "257 classes") { try make(48, [0, 1], classes: 257) }
    expectError(.tooLarge, "larger than any memory") { try make(48, [0, 1], (.max, .max, 4)) }
  }
}

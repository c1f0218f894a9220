import Datasets
import Foundation
import TestSupport
import Testing

@testable import Training

@Suite("Training data")
struct TrainingDataTests {
  /// Grey images of a size that is no multiple of the fingerprint's stride.
  func set(_ count: Int, first: Int = 0) throws -> LabeledImages {
    let images = (first..<(first + count * 35)).map { UInt8(truncatingIfNeeded: $0 &* 37) }
    return try LabeledImages(
      name: "set", images: images, labels: (0..<count).map { UInt8($0 % 10) }, channels: 1, height: 5, width: 7,
      classCount: 10)
  }

  @Test("CIFAR-10 is read from the folder that is given")
  func cifar10() throws {
    let folder = try TemporaryFolder()
    for name in (1...5).map({ "data_batch_\($0).bin" }) + ["test_batch.bin"] {
      let records = (0..<2).flatMap { [UInt8($0)] + [UInt8](repeating: 7, count: 3072) }
      try Data(records).write(to: URL(fileURLWithPath: folder[name]))
    }
    let data = try TrainingData.cifar10(folder: folder.path)
    #expect(data.training.count == 10 && data.test.count == 2)
    #expect(data.normalization == .cifar10 && data.augmentation == .none)
    #expect(throws: DatasetError.self) { try TrainingData.cifar10(folder: folder["nowhere"]) }
  }

  @Test("The fingerprint is of labels, pixels and what becomes of them")
  func fingerprint() throws {
    var data = TrainingData(training: try set(29), test: try set(4), normalization: .mnist)
    // As all versions have written it into run folders: every 97th of all pixels in a row.
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    let pixels = (0..<(29 * 35)).filter { $0 % 97 == 0 }.map { UInt8(truncatingIfNeeded: $0 &* 37) }
    for byte in (0..<29).map({ UInt8($0 % 10) }) + pixels { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
    let plain = data.fingerprint
    #expect(plain.hasPrefix("29×1×5×7 \(String(hash, radix: 16)), 4×1×5×7 "))
    #expect(plain.hasSuffix(", \(Normalization.mnist)"))
    data.augmentation = Augmentation(padding: .reflect)
    #expect(data.fingerprint == plain, "padding without a crop changes nothing")
    data.augmentation = .cifar10
    #expect(data.fingerprint == plain + ", augmentation: crop 4 zero, flip random")
    data.augmentation = .none
    data.training = try set(29, first: 97)
    #expect(data.fingerprint != plain)
  }
}

import Datasets
import Foundation

/// What a program trains on and is tested on.
public struct TrainingData: Sendable {
  /// The examples to train on.
  public var training: LabeledImages
  /// The examples to evaluate on.
  public var test: LabeledImages
  /// How bytes become floats.
  public var normalization: Normalization
  /// How the examples to train on are varied; those to evaluate on never are.
  public var augmentation: Augmentation

  /// Pairs two sets of images.
  public init(
    training: LabeledImages, test: LabeledImages, normalization: Normalization, augmentation: Augmentation = .none
  ) {
    self.training = training
    self.test = test
    self.normalization = normalization
    self.augmentation = augmentation
  }

  /// MNIST (or a set in its format) from `folder`; where that is nil, from `data/mnist` if it exists, and otherwise
  /// the built-in synthetic digits.
  ///
  /// Normalised by MNIST's mean 0.1307 and standard deviation 0.3081, as the `schedulefree` package's MNIST example
  /// does.
  /// - Throws: `DatasetError`.
  public static func mnist(folder: String?) throws -> TrainingData {
    guard let folder = folder ?? usualFolder("data/mnist") else {
      let sets = try SyntheticDigits.make()
      return TrainingData(training: sets.train, test: sets.test, normalization: .mnist)
    }
    let sets = try LabeledImages.mnist(folder: folder)
    return TrainingData(training: sets.train, test: sets.test, normalization: .mnist)
  }

  /// CIFAR-10 in its binary version from `folder`; where that is nil, from `data/cifar10` if it exists, and otherwise
  /// the built-in synthetic shapes.
  ///
  /// Normalised by the customary means 0.4914, 0.4822, 0.4465 and standard deviations 0.2470, 0.2435, 0.2616. Not
  /// augmented: see ``augmentation``.
  /// - Throws: `DatasetError`.
  public static func cifar10(folder: String?) throws -> TrainingData {
    guard let folder = folder ?? usualFolder("data/cifar10") else {
      let sets = try SyntheticShapes.make()
      return TrainingData(training: sets.train, test: sets.test, normalization: .cifar10)
    }
    let sets = try LabeledImages.cifar10(folder: folder)
    return TrainingData(training: sets.train, test: sets.test, normalization: .cifar10)
  }

  /// `path`, if something is in it. A folder that holds something is meant; if that is not all of the data set, a
  /// person should hear of it.
  private static func usualFolder(_ path: String) -> String? {
    (try? FileManager.default.contentsOfDirectory(atPath: path))?.isEmpty == false ? path : nil
  }

  /// Sizes, shapes, a checksum of labels and some pixels, and what becomes of them: enough to notice that a run
  /// continues on other data.
  public var fingerprint: String {
    func summary(_ set: LabeledImages) -> String {
      // FNV-1a (Fowler, Noll, Vo), over every label and every 97th pixel byte.
      var hash: UInt64 = 0xcbf2_9ce4_8422_2325
      func add(_ byte: UInt8) { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
      set.withLabels { for byte in $0 { add(byte) } }
      var next = 0
      for example in 0..<set.count {
        set.withImage(example) { bytes in
          while next < bytes.count {
            add(bytes[next])
            next += 97
          }
        }
        next -= set.imageSize
      }
      return "\(set.count)×\(set.channels)×\(set.height)×\(set.width) " + String(hash, radix: 16)
    }
    let sets = "\(summary(training)), \(summary(test)), \(normalization)"
    // Said only of runs that have some: others are known by the same text as before there was any.
    return augmentation.isNone ? sets : sets + ", augmentation: \(augmentation)"
  }

  /// The first training images as the network gets them, but not augmented: `count` × C × H × W floats at most.
  ///
  /// - Throws: `DatasetError` if the normalisation does not fit the data.
  public func normalizedTrainingImages(_ count: Int) throws -> [Float] {
    let assembler = try BatchAssembler(training, normalization: normalization)
    let examples = 0..<min(count, training.count)
    var labels = [Int32](repeating: 0, count: examples.count)
    return [Float](unsafeUninitializedCapacity: examples.count * training.imageSize) { images, filled in
      guard let base = images.baseAddress else { return }
      labels.withUnsafeMutableBufferPointer { labels in
        guard let labels = labels.baseAddress else { return }
        assembler.fill(examples, into: UnsafeMutableRawPointer(base), labels: labels)
        filled = examples.count * training.imageSize
      }
    }
  }
}

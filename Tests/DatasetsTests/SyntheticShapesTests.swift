import Testing

@testable import Datasets

@Suite struct SyntheticShapesTests {
  /// The same bytes on every machine, in debug and release builds, in every version: runs are repeated from a seed
  /// alone.
  @Test func bytesArePinned() throws {
    let train = try SyntheticShapes.make(.train, examples: 0..<100)
    let test = try SyntheticShapes.make(.test, examples: 0..<100)
    let seeded = try SyntheticShapes.make(.train, examples: 0..<100, seed: 12345)
    #expect(Array(train.allLabels[..<10]) == [6, 1, 3, 7, 5, 4, 0, 9, 2, 8])
    #expect(fingerprint(train.allImages) == 2108718621907165300)
    #expect(fingerprint(test.allImages) == 1621836595643474228)
    #expect(fingerprint(seeded.allImages) == 3443712771587807040)
  }

  @Test func anyPartIsThatPartOfTheWhole() throws {
    let whole = try SyntheticShapes.make(.test, examples: 0..<50, seed: 9)
    for part in [0..<1, 7..<8, 13..<37, 49..<50] {
      let made = try SyntheticShapes.make(.test, examples: part, seed: 9)
      #expect(made.count == part.count)
      for index in part {
        #expect(made.image(index - part.lowerBound) == whole.image(index))
        #expect(made.label(index - part.lowerBound) == whole.label(index))
      }
    }
  }

  @Test func bothSetsAreMadeInTheSizesAskedFor() throws {
    let (train, test) = try SyntheticShapes.make(train: 31, test: 7, seed: 2)
    #expect(train.count == 31 && test.count == 7)
    for data in [train, test] {
      #expect(data.channels == 3 && data.height == 32 && data.width == 32 && data.classCount == 10)
    }
    #expect(train.name == "synthetic shapes, training set (drawn from seed 2)")
    #expect(test.name == "synthetic shapes, test set (drawn from seed 2)")
    #expect(Set(SyntheticShapes.classNames).count == 10)
  }

  @Test func classesAreBalancedExactly() throws {
    for split in SyntheticShapes.Split.allCases {
      let labels = try SyntheticShapes.make(split, examples: 0..<200, seed: 4).allLabels
      let blocks = stride(from: 0, to: 200, by: 10).map { Array(labels[$0..<($0 + 10)]) }
      #expect(blocks.allSatisfy { $0.sorted() == Array(0..<10) })
      #expect(Set(blocks).count == 20)
    }
  }

  @Test func theSplitsShareNoStream() {
    let domains = SyntheticShapes.Split.allCases.flatMap {
      [$0.shapeDomain, $0.shapeLabelDomain, $0.shapeNoiseDomain, $0.imageDomain, $0.labelDomain]
    }
    #expect(Set(domains).count == 10)
  }

  @Test func noImageOccursTwice() throws {
    var images: Set<[UInt8]> = []
    for seed in [0, 1, 1 << 40] as [UInt64] {
      for split in SyntheticShapes.Split.allCases {
        let data = try SyntheticShapes.make(split, examples: 0..<50, seed: seed)
        for index in 0..<50 { images.insert(data.image(index)) }
      }
    }
    #expect(images.count == 300)
  }

  /// A classifier that sees only each image's mean colour, or only its mean image, is hardly better than chance.
  @Test func coloursAndMeanImagesTellLittle() throws {
    let (train, test) = try SyntheticShapes.make(train: 2_000, test: 500, seed: 3)
    func features(_ image: [UInt8], pixels: Bool) -> [Double] {
      if pixels { return image.map { Double($0) } }
      return (0..<3).map { channel in
        let sum = image[(channel * 1024)..<((channel + 1) * 1024)].reduce(0) { $0 + Int($1) }
        return Double(sum) / 1024
      }
    }
    func distance(_ a: [Double], _ b: [Double]) -> Double {
      var sum = 0.0
      for index in a.indices { sum += (a[index] - b[index]) * (a[index] - b[index]) }
      return sum
    }
    for pixels in [false, true] {
      var means = [[Double]](repeating: [Double](repeating: 0, count: pixels ? 3072 : 3), count: 10)
      for index in 0..<train.count {
        let values = features(train.image(index), pixels: pixels)
        for (place, value) in values.enumerated() { means[train.label(index)][place] += value / 200 }
      }
      var correct = 0
      for index in 0..<test.count {
        let values = features(test.image(index), pixels: pixels)
        let distances = means.map { mean in distance(mean, values) }
        if let nearest = distances.indices.min(by: { distances[$0] < distances[$1] }), nearest == test.label(index) {
          correct += 1
        }
      }
      #expect(correct < 125, "\(correct) of 500 from \(pixels ? "the mean image" : "the mean colour")")
    }
  }

  @Test func impossibleSizesAreRefused() {
    expectError(.argument, "0 training examples", "at least one") { _ = try SyntheticShapes.make(train: 0, test: 1) }
    expectError(.argument, "-5 training examples", "at least one") {
      _ = try SyntheticShapes.make(train: -5, test: 1)
    }
    expectError(.argument, "7 ..< 7", "at least one") { _ = try SyntheticShapes.make(.test, examples: 7..<7) }
    expectError(.argument, "-2 ..< 3") { _ = try SyntheticShapes.make(.test, examples: -2..<3) }
    expectError(.argument, "32 bits") { _ = try SyntheticShapes.make(.test, examples: 1..<(1 << 33)) }
  }
}

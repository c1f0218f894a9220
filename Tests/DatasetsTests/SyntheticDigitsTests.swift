import Testing

@testable import Datasets

@Suite struct SyntheticDigitsTests {
  /// The same bytes on every machine, in debug and release builds, in every version: runs are repeated from a seed
  /// alone.
  @Test func bytesArePinned() throws {
    let train = try SyntheticDigits.make(.train, examples: 0..<100)
    let test = try SyntheticDigits.make(.test, examples: 0..<100)
    let seeded = try SyntheticDigits.make(.train, examples: 0..<100, seed: 12345)
    #expect(Array(train.allLabels[..<10]) == [5, 6, 1, 7, 9, 2, 0, 3, 8, 4])
    #expect(fingerprint(train.allImages) == 17435587457119777853)
    #expect(fingerprint(test.allImages) == 5607820815573333258)
    #expect(fingerprint(seeded.allImages) == 2468344533667588261)
  }

  @Test func anyPartIsThatPartOfTheWhole() throws {
    let whole = try SyntheticDigits.make(.test, examples: 0..<50, seed: 9)
    for part in [0..<1, 7..<8, 13..<37, 49..<50] {
      let made = try SyntheticDigits.make(.test, examples: part, seed: 9)
      #expect(made.count == part.count)
      for index in part {
        #expect(made.image(index - part.lowerBound) == whole.image(index))
        #expect(made.label(index - part.lowerBound) == whole.label(index))
      }
    }
  }

  @Test func bothSetsAreMadeInTheSizesAskedFor() throws {
    let (train, test) = try SyntheticDigits.make(train: 31, test: 7, seed: 2)
    #expect(train.count == 31 && test.count == 7)
    for data in [train, test] {
      #expect(data.channels == 1 && data.height == 28 && data.width == 28 && data.classCount == 10)
    }
    #expect(train.name == "synthetic digits, training set (drawn from seed 2)")
    #expect(test.name == "synthetic digits, test set (drawn from seed 2)")
  }

  @Test func classesAreBalancedExactly() {
    for split in SyntheticDigits.Split.allCases {
      var orders: Set<[UInt8]> = []
      for block in 0..<50 {
        let digits = SyntheticDigits.shuffledDigits(split, block: block, seed: 4)
        #expect(digits.sorted() == Array(0..<10))
        orders.insert(digits)
      }
      #expect(orders.count == 50)
    }
  }

  @Test func labelsAreTheBlocksInOrder() throws {
    let data = try SyntheticDigits.make(.train, examples: 5..<25, seed: 4)
    let blocks = (0..<3).flatMap { SyntheticDigits.shuffledDigits(.train, block: $0, seed: 4) }
    #expect(data.allLabels == Array(blocks[5..<25]))
  }

  @Test func theSplitsShareNoStream() {
    #expect(SyntheticDigits.Split.train.imageDomain != SyntheticDigits.Split.test.imageDomain)
    #expect(SyntheticDigits.Split.train.labelDomain != SyntheticDigits.Split.test.labelDomain)
    let domains = SyntheticDigits.Split.allCases.flatMap { [$0.imageDomain, $0.labelDomain] } + [.permutation]
    #expect(Set(domains).count == 5)
  }

  @Test func noImageOccursTwice() throws {
    var images: Set<[UInt8]> = []
    for seed in [0, 1] as [UInt64] {
      for split in SyntheticDigits.Split.allCases {
        let data = try SyntheticDigits.make(split, examples: 0..<100, seed: seed)
        for index in 0..<100 { images.insert(data.image(index)) }
      }
    }
    #expect(images.count == 400)
  }

  @Test func digitsHaveInkInTheMiddleAndLittleAtTheEdge() throws {
    let data = try SyntheticDigits.make(.train, examples: 0..<100)
    for index in 0..<data.count {
      let image = data.image(index)
      let bright = image.indices.filter { image[$0] > 80 }  // more than noise can be
      // From a thin one to a fat eight.
      #expect((12...300).contains(bright.count), "image \(index): \(bright.count) bright pixels")
      let onEdge = bright.filter { $0 % 28 == 0 || $0 % 28 == 27 || $0 < 28 || $0 >= 784 - 28 }
      #expect(onEdge.count <= 14, "image \(index): \(onEdge.count) bright pixels on the edge")
    }
  }

  @Test func everyWayOfWritingOccursAndIsDrawnFromStrokes() {
    #expect(DigitSkeletons.variants.count == 10)
    for ways in DigitSkeletons.variants {
      #expect(ways.count >= 3)
      for stroke in ways.joined() {
        #expect(stroke.points.count >= (stroke.closed ? 3 : 2))
        #expect(stroke.points.allSatisfy { (-0.2...1.2).contains($0.x) && (-0.2...1.2).contains($0.y) })
      }
    }
  }

  @Test func impossibleSizesAreRefused() {
    expectError(.argument, "0 training examples", "at least one") { _ = try SyntheticDigits.make(train: 0, test: 1) }
    expectError(.argument, "-5 training examples", "at least one") {
      _ = try SyntheticDigits.make(train: -5, test: 1)
    }
    expectError(.argument, "7 ..< 7", "at least one") { _ = try SyntheticDigits.make(.test, examples: 7..<7) }
    expectError(.argument, "-2 ..< 3") { _ = try SyntheticDigits.make(.test, examples: -2..<3) }
    expectError(.argument, "32 bits") { _ = try SyntheticDigits.make(.test, examples: 1..<(1 << 33)) }
  }
}

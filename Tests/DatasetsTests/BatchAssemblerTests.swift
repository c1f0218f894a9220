import Testing

@testable import Datasets

@Suite struct BatchAssemblerTests {
  /// Five images of 2×3×3 whose byte at (image, channel, pixel) is 50 image + 20 channel + pixel.
  let data: LabeledImages
  init() throws {
    var bytes: [UInt8] = []
    for image in 0..<5 {
      for channel in 0..<2 {
        for pixel in 0..<9 { bytes.append(Self.byte(image, channel, pixel)) }
      }
    }
    data = try LabeledImages(
      name: "five", images: bytes, labels: [4, 3, 2, 1, 0], channels: 2, height: 3, width: 3, classCount: 5)
  }

  static func byte(_ image: Int, _ channel: Int, _ pixel: Int) -> UInt8 { UInt8(50 * image + 20 * channel + pixel) }

  let normalization = Normalization(mean: [0.25, 0.5], standardDeviation: [0.5, 0.125])

  /// What must stand in the batch for `examples`.
  func expected(_ examples: [Int]) -> [Float] {
    var result: [Float] = []
    for image in examples {
      for channel in 0..<2 {
        let (mean, deviation) = (normalization.mean[channel], normalization.standardDeviation[channel])
        for pixel in 0..<9 { result.append((Float(Self.byte(image, channel, pixel)) / 255 - mean) / deviation) }
      }
    }
    return result
  }

  /// Fills guarded memory for `count` examples; the guards must survive.
  func filled(_ count: Int, _ fill: (UnsafeMutablePointer<Float>, UnsafeMutablePointer<Int32>) -> Void) -> (
    [Float], [Int32]
  ) {
    var images = [Float](repeating: -99, count: count * 18 + 2)
    var labels = [Int32](repeating: -99, count: count + 2)
    images.withUnsafeMutableBufferPointer { images in
      labels.withUnsafeMutableBufferPointer { labels in
        if let images = images.baseAddress, let labels = labels.baseAddress { fill(images + 1, labels + 1) }
      }
    }
    #expect(images.first == -99 && images.last == -99 && labels.first == -99 && labels.last == -99)
    return (Array(images.dropFirst().dropLast()), Array(labels.dropFirst().dropLast()))
  }

  @Test func pickedExamplesAreNormalisedExactly() throws {
    let assembler = try BatchAssembler(data, normalization: normalization)
    let (images, labels) = filled(4) { assembler.fill([9, 3, 0, 3, 4, 9][1...4], into: $0, labels: $1) }
    #expect(images == expected([3, 0, 3, 4]))
    #expect(labels == [1, 4, 1, 0])
  }

  @Test func consecutiveExamplesAreNormalisedExactly() throws {
    let assembler = try BatchAssembler(data, normalization: normalization)
    let (images, labels) = filled(3) { assembler.fill(2..<5, into: $0, labels: $1) }
    #expect(images == expected([2, 3, 4]))
    #expect(labels == [2, 1, 0])
  }

  @Test func emptyAndSingleBatchesAreFine() throws {
    let assembler = try BatchAssembler(data, normalization: normalization)
    #expect(filled(0) { assembler.fill([], into: $0, labels: $1) } == ([], []))
    #expect(filled(0) { assembler.fill(5..<5, into: $0, labels: $1) } == ([], []))
    #expect(filled(1) { assembler.fill([4], into: $0, labels: $1) } == (expected([4]), [0]))
  }

  @Test func everyByteValueIsNormalised() throws {
    let ramp = try LabeledImages(
      name: "ramp", images: (0..<256).map { UInt8($0) }, labels: [0], channels: 1, height: 16, width: 16, classCount: 1)
    let assembler = try BatchAssembler(ramp, normalization: .mnist)
    var images = [Float](repeating: 0, count: 256)
    var label: Int32 = -1
    assembler.fill([0], into: &images, labels: &label)
    for value in 0..<256 {
      let expected: Float = (Float(value) / 255 - 0.1307) / 0.3081
      #expect(images[value] == expected)
    }
    #expect(label == 0)
  }

  @Test func measuredNormalisationIsTheSetsOwn() {
    let measured = Normalization(measuring: data)
    for channel in 0..<2 {
      var values: [Double] = []
      for image in 0..<5 {
        for pixel in 0..<9 { values.append(Double(Self.byte(image, channel, pixel)) / 255) }
      }
      let mean = values.reduce(0, +) / 45
      let variance = values.map { ($0 - mean) * ($0 - mean) }.reduce(0, +) / 45
      #expect(abs(Double(measured.mean[channel]) - mean) < 1e-6)
      #expect(abs(Double(measured.standardDeviation[channel]) - variance.squareRoot()) < 1e-6)
    }
  }

  @Test func aConstantChannelIsLeftConstant() throws {
    let flat = try LabeledImages(
      name: "flat", images: [51, 51, 51, 51], labels: [0], channels: 1, height: 2, width: 2, classCount: 1)
    #expect(Normalization(measuring: flat) == Normalization(mean: [0.2], standardDeviation: [1]))
  }

  @Test func badNormalisationsAreRefused() {
    func make(_ mean: [Float], _ deviation: [Float]) throws {
      _ = try BatchAssembler(data, normalization: Normalization(mean: mean, standardDeviation: deviation))
    }
    expectError(.argument, "1 means", "2 of each") { try make([0], [1, 1]) }
    expectError(.argument, "3 standard deviations") { try make([0, 0], [1, 1, 1]) }
    expectError(.argument, "mean nan") { try make([0, .nan], [1, 1]) }
    expectError(.argument, "standard deviation 0.0", "more than 0") { try make([0, 0], [1, 0]) }
    expectError(.argument, "standard deviation inf") { try make([0, 0], [.infinity, 1]) }
  }
}

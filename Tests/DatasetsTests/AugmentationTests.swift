import Testing

@testable import Datasets

/// Batches written by the assembler against pixels looked up one by one.
@Suite struct AugmentationTests {
  static let normalization = Normalization(mean: [0.25, 0.5, 0.4], standardDeviation: [0.5, 0.125, 0.3])

  /// Images of random bytes, `channels` × `height` × `width`.
  static func makeData(count: Int = 7, channels: Int = 3, height: Int = 8, width: Int = 6) throws -> LabeledImages {
    var random = Philox(seed: 3, domain: .trainImages, subject: 1)
    return try LabeledImages(
      name: "random", images: (0..<(count * channels * height * width)).map { _ in UInt8(random.next() >> 24) },
      labels: (0..<count).map { UInt8($0) }, channels: channels, height: height, width: width, classCount: count)
  }

  static func normalization(channels: Int) -> Normalization {
    Normalization(
      mean: (0..<channels).map { normalization.mean[$0 % 3] },
      standardDeviation: (0..<channels).map { normalization.standardDeviation[$0 % 3] })
  }

  static let formats = BatchFormat.Layout.allCases.flatMap { layout in
    BatchFormat.ElementType.allCases.map { BatchFormat(layout: layout, elementType: $0) }
  }

  /// The bits of a batch's elements, in guarded memory; the guards must survive.
  static func filled(
    _ assembler: BatchAssembler, count: Int,
    _ fill: (UnsafeMutableRawPointer, UnsafeMutablePointer<Int32>) -> Void
  ) -> [UInt32] {
    let size = assembler.format.elementType.size
    let byteCount = count * assembler.imageByteCount
    var labels = [Int32](repeating: -1, count: count)
    var bytes = [UInt8](repeating: 0xa5, count: byteCount + 128)
    bytes.withUnsafeMutableBytes { bytes in
      labels.withUnsafeMutableBufferPointer { labels in
        if let bytes = bytes.baseAddress, let labels = labels.baseAddress { fill(bytes + 64, labels) }
      }
    }
    #expect(bytes.prefix(64).allSatisfy { $0 == 0xa5 } && bytes.suffix(64).allSatisfy { $0 == 0xa5 })
    return bytes.withUnsafeBytes { bytes in
      stride(from: 64, to: 64 + byteCount, by: size).map { offset in
        size == 4
          ? bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self)
          : UInt32(bytes.loadUnaligned(fromByteOffset: offset, as: UInt16.self))
      }
    }
  }

  /// What must stand in a batch, pixel by pixel: a crop of the padded image, mirrored, with a rectangle of zeros.
  static func expected(
    _ data: LabeledImages, _ format: BatchFormat, example: Int, rowShift: Int, columnShift: Int, mirrored: Bool,
    padding: Augmentation.Padding, cutRows: Range<Int> = 0..<0, cutColumns: Range<Int> = 0..<0
  ) -> [UInt32] {
    let (height, width, channels) = (data.height, data.width, data.channels)
    let normalization = normalization(channels: channels)
    let image = data.image(example)
    func source(_ position: Int, _ extent: Int) -> Int? {
      if (0..<extent).contains(position) { return position }
      if padding == .zero { return nil }
      return position < 0 ? -position : 2 * (extent - 1) - position
    }
    var result = [UInt32](repeating: 0, count: data.imageSize)
    for channel in 0..<channels {
      for row in 0..<height {
        for column in 0..<width {
          var value: Float = 0
          if let y = source(row + rowShift, height),
            let x = source((mirrored ? width - 1 - column : column) + columnShift, width),
            !(cutRows.contains(row) && cutColumns.contains(column))
          {
            let byte = image[(channel * height + y) * width + x]
            value = (Float(byte) / 255 - normalization.mean[channel]) / normalization.standardDeviation[channel]
          }
          let place =
            format.layout == .planar
            ? (channel * height + row) * width + column : (row * width + column) * channels + channel
          result[place] =
            format.elementType == .float32 ? value.bitPattern : UInt32(BatchFormat.bfloat16Bits(value))
        }
      }
    }
    return result
  }

  @Test(arguments: formats, [1, 2, 3, 4]) func everyFormatHasTheExamplesAsTheyAre(
    _ format: BatchFormat, _ channels: Int
  ) throws {
    let data = try Self.makeData(channels: channels)
    let assembler = try BatchAssembler(
      data, normalization: Self.normalization(channels: channels), format: format)
    #expect(assembler.imageByteCount == data.imageSize * (format.elementType == .float32 ? 4 : 2))
    func plain(_ example: Int) -> [UInt32] {
      Self.expected(data, format, example: example, rowShift: 0, columnShift: 0, mirrored: false, padding: .zero)
    }
    let picked = Self.filled(assembler, count: 3) { assembler.fill([6, 0, 6], into: $0, labels: $1) }
    #expect(picked == [6, 0, 6].flatMap(plain))
    #expect(Self.filled(assembler, count: 2) { assembler.fill(4..<6, into: $0, labels: $1) } == [4, 5].flatMap(plain))
    #expect(
      Self.filled(assembler, count: 2) { assembler.fill([1, 2], epoch: 3, into: $0, labels: $1) }
        == [1, 2].flatMap(plain))
  }

  @Test(arguments: formats, Augmentation.Padding.allCases) func everyViewIsPixelByPixelRight(
    _ format: BatchFormat, _ padding: Augmentation.Padding
  ) throws {
    let data = try Self.makeData(count: 2)
    let assembler = try BatchAssembler(data, normalization: Self.normalization, format: format)
    for mirrored in [false, true] {
      for (row, column) in [(0, 0), (0, 5), (0, -5), (7, 0), (-7, 0), (1, 2), (-3, 1), (2, -4), (-7, -5), (7, 5)] {
        let view = ImageView(mirrored: mirrored, rowShift: row, columnShift: column, padding: padding)
        let expected = (0..<2).flatMap {
          Self.expected(
            data, format, example: $0, rowShift: row, columnShift: column, mirrored: mirrored, padding: padding)
        }
        #expect(
          Self.filled(assembler, count: 2) { assembler.fill(0..<2, view: view, into: $0, labels: $1) } == expected)
        #expect(
          Self.filled(assembler, count: 2) { assembler.fill([0, 1], view: view, into: $0, labels: $1) } == expected)
      }
    }
  }

  @Test(arguments: formats, Augmentation.Padding.allCases) func everyAugmentationIsPixelByPixelRight(
    _ format: BatchFormat, _ padding: Augmentation.Padding
  ) throws {
    let data = try Self.makeData()
    for augmentation in [
      Augmentation(cropPadding: 2, padding: padding), Augmentation(flip: .random),
      Augmentation(cutout: 3), Augmentation(cropPadding: 5, padding: padding, flip: .alternating, cutout: 8),
    ] {
      let assembler = try BatchAssembler(
        data, normalization: Self.normalization, format: format, augmentation: augmentation, seed: 11)
      for epoch in 0..<4 {
        let batch = Self.filled(assembler, count: 7) {
          assembler.fill([0, 1, 2, 3, 4, 5, 6], epoch: epoch, into: $0, labels: $1)
        }
        let expected = (0..<7).flatMap { example in
          let view = augmentation.view(seed: 11, epoch: epoch, example: example, height: 8, width: 6)
          return Self.expected(
            data, format, example: example, rowShift: view.row_shift, columnShift: view.column_shift,
            mirrored: view.mirrored, padding: padding, cutRows: Int(view.cut_top)..<Int(view.cut_bottom),
            cutColumns: Int(view.cut_left)..<Int(view.cut_right))
        }
        #expect(batch == expected, "\(augmentation), epoch \(epoch)")
      }
    }
  }

  /// However examples are divided over batches and ordered within them, each has the same bytes.
  @Test func anExampleDependsOnSeedEpochAndIndexAlone() throws {
    let data = try Self.makeData(count: 12)
    let augmentation = Augmentation(cropPadding: 3, padding: .reflect, flip: .random, cutout: 4)
    func assembler(seed: UInt64) throws -> BatchAssembler {
      try BatchAssembler(data, normalization: Self.normalization, augmentation: augmentation, seed: seed)
    }
    let first = try assembler(seed: 1)
    func batch(_ examples: [UInt32], epoch: Int, _ assembler: BatchAssembler) -> [UInt32] {
      Self.filled(assembler, count: examples.count) {
        assembler.fill(examples[...], epoch: epoch, into: $0, labels: $1)
      }
    }
    let whole = batch(Array(0..<12), epoch: 5, first)
    func one(_ example: Int) -> [UInt32] {
      Array(whole[(example * data.imageSize)..<((example + 1) * data.imageSize)])
    }
    let order: [UInt32] = [7, 3, 11, 0, 5, 9, 1, 10, 2, 8, 4, 6]
    #expect(batch(order, epoch: 5, first) == order.flatMap { one(Int($0)) })
    for size in [1, 3, 4, 6] {
      let parts = stride(from: 0, to: 12, by: size).flatMap { batch(Array(order[$0..<($0 + size)]), epoch: 5, first) }
      #expect(parts == order.flatMap { one(Int($0)) })
    }
    #expect(try batch(Array(0..<12), epoch: 5, assembler(seed: 1)) == whole)
    #expect(try batch(Array(0..<12), epoch: 5, assembler(seed: 2)) != whole)
    #expect(batch(Array(0..<12), epoch: 6, first) != whole)
    // The same example twice in a batch that wraps is the same twice.
    #expect(batch([4, 4], epoch: 5, first) == one(4) + one(4))
  }

  @Test func eachChangeHasRandomNumbersOfItsOwn() {
    func views(_ augmentation: Augmentation) -> [Drawn] {
      (0..<200).map { example in
        let view = augmentation.view(seed: 9, epoch: 2, example: example, height: 32, width: 32)
        return Drawn(
          shift: [view.row_shift, view.column_shift], mirrored: view.mirrored,
          cut: [view.cut_top, view.cut_bottom, view.cut_left, view.cut_right].map { Int($0) })
      }
    }
    struct Drawn: Equatable {
      var shift: [Int]
      var mirrored: Bool
      var cut: [Int]
    }
    let all = views(Augmentation(cropPadding: 4, flip: .random, cutout: 8))
    #expect(views(Augmentation(cropPadding: 4)).map(\.shift) == all.map(\.shift))
    #expect(views(Augmentation(flip: .random)).map(\.mirrored) == all.map(\.mirrored))
    #expect(views(Augmentation(cutout: 8)).map(\.cut) == all.map(\.cut))
    #expect(views(.none).allSatisfy { $0 == Drawn(shift: [0, 0], mirrored: false, cut: [0, 0, 0, 0]) })
  }

  @Test func alternatingFlipsBeginAtRandomAndThenChangeInEveryEpoch() {
    func flips(_ flip: Augmentation.Flip, epoch: Int) -> [Bool] {
      (0..<1000).map {
        Augmentation(flip: flip).view(seed: 1, epoch: epoch, example: $0, height: 32, width: 32).mirrored
      }
    }
    let first = flips(.alternating, epoch: 0)
    #expect(first == flips(.random, epoch: 0))
    for epoch in 1..<6 { #expect(flips(.alternating, epoch: epoch) == first.map { $0 != (epoch % 2 == 1) }) }
    // Five standard deviations of a fair coin.
    for epoch in 0..<5 { #expect((421...579).contains(flips(.random, epoch: epoch).count { $0 })) }
    #expect(flips(.random, epoch: 1) != first)
  }

  @Test func cropsAndCutoutsAreUniform() {
    let augmentation = Augmentation(cropPadding: 2, cutout: 5)
    var shifts: [[Int]: Int] = [:]
    var (tops, areas) = ([Int: Int](), Set<Int>())
    for example in 0..<10_000 {
      let view = augmentation.view(seed: 4, epoch: 0, example: example, height: 8, width: 8)
      shifts[[view.row_shift, view.column_shift], default: 0] += 1
      tops[Int(view.cut_top), default: 0] += 1
      areas.insert(Int((view.cut_bottom - view.cut_top) * (view.cut_right - view.cut_left)))
    }
    // 25 crops of 400 expected each, five standard deviations.
    #expect(shifts.count == 25 && shifts.values.allSatisfy { (300...500).contains($0) })
    // Centres 0, 1, 2 begin in row 0, the others two above the centre.
    #expect((3_500...4_000).contains(tops[0] ?? 0) && tops.keys.max() == 5)
    // A square clipped at the borders: 3 to 5 rows and columns.
    #expect(areas == [9, 12, 15, 16, 20, 25])
  }

  @Test func bfloat16RoundsToNearestEven() {
    #expect(BatchFormat.bfloat16Bits(1) == 0x3f80)
    #expect(BatchFormat.bfloat16Bits(-2.5) == 0xc020)
    #expect(BatchFormat.bfloat16Bits(0) == 0)
    for (low, expected) in [(0x7fff, 0x3f80), (0x8000, 0x3f80), (0x8001, 0x3f81)] as [(UInt32, UInt16)] {
      #expect(BatchFormat.bfloat16Bits(Float(bitPattern: 0x3f80_0000 | low)) == expected)
    }
    // Between an odd number and the even one above.
    #expect(BatchFormat.bfloat16Bits(Float(bitPattern: 0x3f81_8000)) == 0x3f82)
    #expect(BatchFormat.bfloat16Bits(.greatestFiniteMagnitude) == 0x7f80)
  }

  @Test func descriptionsNameWhatIsDone() {
    #expect(Augmentation.none.description == "none")
    #expect(Augmentation(padding: .reflect).description == "none")
    #expect(Augmentation.none.isNone && Augmentation(padding: .reflect).isNone && !Augmentation.cifar10.isNone)
    #expect(!Augmentation(flip: .alternating).isNone && !Augmentation(cutout: 1).isNone)
    #expect(Augmentation.cifar10.description == "crop 4 zero, flip random")
    #expect(
      Augmentation(cropPadding: 2, padding: .reflect, flip: .alternating, cutout: 12).description
        == "crop 2 reflect, flip alternating, cutout 12")
    #expect(BatchFormat().description == "NCHW float32")
    #expect(BatchFormat(layout: .channelsLast, elementType: .bfloat16).description == "NHWC bfloat16")
  }

  @Test func impossibleAugmentationsAreRefused() throws {
    let data = try Self.makeData()
    func make(_ augmentation: Augmentation) throws {
      _ = try BatchAssembler(data, normalization: Self.normalization, augmentation: augmentation)
    }
    try make(Augmentation(cropPadding: 5, cutout: 8))
    expectError(.argument, "crop padding of 6", "8×6", "0 to 5") { try make(Augmentation(cropPadding: 6)) }
    expectError(.argument, "crop padding of -1") { try make(Augmentation(cropPadding: -1)) }
    expectError(.argument, "cutout of 9", "0 to 8") { try make(Augmentation(cutout: 9)) }
    expectError(.argument, "cutout of -3") { try make(Augmentation(cutout: -3)) }
  }
}

import CKernels

/// Fills a batch: picks examples, augments them, normalises their bytes, and writes them in the form that the network
/// takes into memory of the caller.
///
/// In float32 an element has the bits of (byte / 255 - mean) / standard deviation, computed in float32; in bfloat16 it
/// is that number rounded to nearest. What an example becomes does not depend on its place in the batch.
///
/// Filling allocates nothing and locks nothing. Several threads may fill different memory at once.
public final class BatchAssembler: Sendable {
  /// The data set that batches are drawn from.
  public let data: LabeledImages
  /// What the bytes become.
  public let normalization: Normalization
  /// The form of a batch.
  public let format: BatchFormat
  /// How examples are varied where an epoch is given.
  public let augmentation: Augmentation
  /// Key of what the augmentation draws.
  public let seed: UInt64

  private let source: Source
  private let isAugmented: Bool

  /// - Parameters:
  ///   - data: the data set that batches are drawn from.
  ///   - normalization: one mean and deviation per channel of `data`.
  ///   - format: the form of a batch.
  ///   - augmentation: how examples are varied where an epoch is given.
  ///   - seed: key of what the augmentation draws; the run's.
  /// - Throws: ``DatasetError`` if the normalisation does not fit the channels or is not finite, or the augmentation
  ///   does not fit the images' size.
  public init(
    _ data: LabeledImages, normalization: Normalization, format: BatchFormat = BatchFormat(),
    augmentation: Augmentation = .none, seed: UInt64 = 0
  ) throws {
    try normalization.validate(channels: data.channels)
    try augmentation.validate(height: data.height, width: data.width)
    self.data = data
    self.normalization = normalization
    self.format = format
    self.augmentation = augmentation
    self.seed = seed
    isAugmented = !augmentation.isNone
    source = Source(data, normalization, format)
  }

  deinit { source.deallocate() }

  /// Bytes of one image in a batch: C × H × W elements.
  public var imageByteCount: Int { data.imageSize * format.elementType.size }

  /// Writes the examples at `indices`, in that order, augmented.
  ///
  /// - Parameters:
  ///   - indices: examples of the data set, as from ``Sampler/indices(batch:positions:)``.
  ///   - epoch: passes over the data before this one; with the seed and the example's index it decides what the
  ///     augmentation draws.
  ///   - images: receives `indices.count` × ``imageByteCount`` bytes; owned by the caller, aligned for its elements.
  ///   - labels: receives `indices.count` labels; owned by the caller.
  public func fill(
    _ indices: ArraySlice<UInt32>, epoch: Int, into images: UnsafeMutableRawPointer,
    labels: UnsafeMutablePointer<Int32>
  ) {
    let (height, width) = (data.height, data.width)
    let plain = fw_image_view()
    var index = indices.startIndex
    while index < indices.endIndex {
      let example = Int(indices[index])
      let view =
        isAugmented
        ? augmentation.view(seed: seed, epoch: epoch, example: example, height: height, width: width) : plain
      write(
        example, view, at: index - indices.startIndex,
        next: index + 1 < indices.endIndex ? Int(indices[index + 1]) : nil, images, labels)
      index += 1
    }
  }

  /// Writes the examples at `indices`, in that order, all in one view and not augmented.
  ///
  /// - Parameters:
  ///   - indices: examples of the data set, as from ``Sampler/indices(batch:positions:)``.
  ///   - view: the part of each image to take, and which way round.
  ///   - images: receives `indices.count` × ``imageByteCount`` bytes; owned by the caller, aligned for its elements.
  ///   - labels: receives `indices.count` labels; owned by the caller.
  public func fill(
    _ indices: ArraySlice<UInt32>, view: ImageView = .plain, into images: UnsafeMutableRawPointer,
    labels: UnsafeMutablePointer<Int32>
  ) {
    let kernelView = view.kernelView(height: data.height, width: data.width)
    var index = indices.startIndex
    while index < indices.endIndex {
      write(
        Int(indices[index]), kernelView, at: index - indices.startIndex,
        next: index + 1 < indices.endIndex ? Int(indices[index + 1]) : nil, images, labels)
      index += 1
    }
  }

  /// Writes consecutive examples, as evaluation does, all in one view and not augmented.
  ///
  /// - Parameters:
  ///   - examples: a range of the data set.
  ///   - view: the part of each image to take, and which way round.
  ///   - images: receives `examples.count` × ``imageByteCount`` bytes; owned by the caller, aligned for its elements.
  ///   - labels: receives `examples.count` labels; owned by the caller.
  public func fill(
    _ examples: Range<Int>, view: ImageView = .plain, into images: UnsafeMutableRawPointer,
    labels: UnsafeMutablePointer<Int32>
  ) {
    let kernelView = view.kernelView(height: data.height, width: data.width)
    var example = examples.lowerBound
    while example < examples.upperBound {
      write(
        example, kernelView, at: example - examples.lowerBound,
        next: example + 1 < examples.upperBound ? example + 1 : nil, images, labels)
      example += 1
    }
  }

  /// Writes one example; `next` is the one that will be written after it.
  @inline(__always)
  private func write(
    _ example: Int, _ view: fw_image_view, at position: Int, next: Int?, _ images: UnsafeMutableRawPointer,
    _ labels: UnsafeMutablePointer<Int32>
  ) {
    precondition(example >= 0 && example < data.count, "example \(example) of a data set of \(data.count)")
    // Examples are read in random order, so that the processor cannot tell by itself what comes next.
    if let next, next >= 0, next < data.count { fw_fetch_bytes(source.pixels(of: next), data.imageSize) }
    source.assemble(example, view, images + position * imageByteCount)
    labels[position] = Int32(source.labels[example])
  }
}

/// What filling reads: plain pointers, for closures that lend them allocate in debug builds.
///
/// Unchecked, but sound: nothing here is ever written after the initialiser. The bytes belong to the data set, which
/// the assembler holds as long as it lives; the tables and the list of parts are the assembler's own.
private struct Source: @unchecked Sendable {
  private struct Part {
    let pixels: UnsafePointer<UInt8>
    let count: Int
  }

  /// 256 elements per channel.
  private enum Table {
    case float32(UnsafeMutablePointer<Float>)
    case bfloat16(UnsafeMutablePointer<UInt16>)
  }

  let labels: UnsafePointer<UInt8>
  private let parts: UnsafeMutablePointer<Part>
  private let partCount: Int
  private let stride: Int
  private let table: Table
  /// One, in memory so that the kernels can be given its address without a closure.
  private let shape: UnsafeMutablePointer<fw_image_shape>

  init(_ data: LabeledImages, _ normalization: Normalization, _ format: BatchFormat) {
    labels = data.labelPointer
    partCount = data.records.parts.count
    parts = .allocate(capacity: partCount)
    for (index, part) in data.records.parts.enumerated() {
      (parts + index).initialize(to: Part(pixels: part.bytes.start, count: part.count))
    }
    stride = data.records.stride
    shape = .allocate(capacity: 1)
    shape.initialize(
      to: fw_image_shape(
        channels: data.channels, height: data.height, width: data.width,
        channels_last: format.layout == .channelsLast))
    let values = (0..<data.channels).flatMap { channel in
      (0..<256).map { byte in
        (Float(byte) / 255 - normalization.mean[channel]) / normalization.standardDeviation[channel]
      }
    }
    switch format.elementType {
    case .float32:
      let memory = UnsafeMutablePointer<Float>.allocate(capacity: values.count)
      for (index, value) in values.enumerated() { (memory + index).initialize(to: value) }
      table = .float32(memory)
    case .bfloat16:
      let memory = UnsafeMutablePointer<UInt16>.allocate(capacity: values.count)
      for (index, value) in values.enumerated() { (memory + index).initialize(to: BatchFormat.bfloat16Bits(value)) }
      table = .bfloat16(memory)
    }
  }

  func deallocate() {
    parts.deallocate()
    shape.deallocate()
    switch table {
    case .float32(let values): values.deallocate()
    case .bfloat16(let values): values.deallocate()
    }
  }

  /// The first byte of an example, which the caller has checked.
  @inline(__always)
  func pixels(of example: Int) -> UnsafePointer<UInt8> {
    var part = 0
    var rest = example
    while rest >= parts[part].count {
      rest -= parts[part].count
      part += 1
    }
    return parts[part].pixels + rest * stride
  }

  @inline(__always)
  func assemble(_ example: Int, _ view: fw_image_view, _ image: UnsafeMutableRawPointer) {
    var view = view
    switch table {
    case .float32(let values):
      fw_assemble_float32(shape, &view, pixels(of: example), values, image.assumingMemoryBound(to: Float.self))
    case .bfloat16(let values):
      fw_assemble_bfloat16(shape, &view, pixels(of: example), values, image.assumingMemoryBound(to: UInt16.self))
    }
  }
}

/// Fills a batch: picks examples, normalises their bytes, and writes them as floats into memory of the caller.
///
/// A byte has 256 values, so normalising is one look-up per pixel in a table per channel (1 KiB each, it stays in the
/// first level of cache), and gives the same bits as the formula (byte / 255 - mean) / standard deviation in float32.
///
/// Filling allocates nothing and locks nothing. Several threads may fill different memory at once.
public final class BatchAssembler: Sendable {
  /// The data set that batches are drawn from.
  public let data: LabeledImages
  /// What the bytes become.
  public let normalization: Normalization

  private let source: Source

  /// - Parameters:
  ///   - data: the data set that batches are drawn from.
  ///   - normalization: one mean and deviation per channel of `data`.
  /// - Throws: ``DatasetError`` if the normalisation does not fit the channels or is not finite.
  public init(_ data: LabeledImages, normalization: Normalization) throws {
    try normalization.validate(channels: data.channels)
    self.data = data
    self.normalization = normalization
    let table = UnsafeMutablePointer<Float>.allocate(capacity: 256 * data.channels)
    for channel in 0..<data.channels {
      for byte in 0..<256 {
        let value = (Float(byte) / 255 - normalization.mean[channel]) / normalization.standardDeviation[channel]
        (table + 256 * channel + byte).initialize(to: value)
      }
    }
    source = Source(images: data.withImages { $0 }, labels: data.withLabels { $0 }, table: table)
  }

  deinit { source.table.deallocate() }

  /// Writes the examples at `indices`, in that order.
  ///
  /// - Parameters:
  ///   - indices: examples of the data set, as from ``Sampler/indices(batch:positions:)``.
  ///   - images: receives `indices.count` × C × H × W floats; owned by the caller.
  ///   - labels: receives `indices.count` labels; owned by the caller.
  public func fill(
    _ indices: ArraySlice<UInt32>, into images: UnsafeMutablePointer<Float>, labels: UnsafeMutablePointer<Int32>
  ) {
    var index = indices.startIndex
    while index < indices.endIndex {
      write(Int(indices[index]), at: index - indices.startIndex, images, labels)
      index += 1
    }
  }

  /// Writes consecutive examples, as evaluation does.
  ///
  /// - Parameters:
  ///   - examples: a range of the data set.
  ///   - images: receives `examples.count` × C × H × W floats; owned by the caller.
  ///   - labels: receives `examples.count` labels; owned by the caller.
  public func fill(
    _ examples: Range<Int>, into images: UnsafeMutablePointer<Float>, labels: UnsafeMutablePointer<Int32>
  ) {
    for example in examples { write(example, at: example - examples.lowerBound, images, labels) }
  }

  /// What filling reads: plain pointers, for closures that lend them allocate in debug builds.
  ///
  /// Unchecked, but sound: nothing here is ever written after the initialiser. The bytes belong to `data`, which the
  /// assembler holds as long as it lives; the table is the assembler's own.
  private struct Source: @unchecked Sendable {
    let images: UnsafeBufferPointer<UInt8>
    let labels: UnsafeBufferPointer<UInt8>
    /// 256 floats per channel.
    let table: UnsafeMutablePointer<Float>
  }

  @inline(__always)
  private func write(
    _ example: Int, at position: Int, _ images: UnsafeMutablePointer<Float>, _ labels: UnsafeMutablePointer<Int32>
  ) {
    precondition(example >= 0 && example < data.count, "example \(example) of a data set of \(data.count)")
    let area = data.height * data.width
    // Never nil: a data set has examples.
    guard let pixels = source.images.baseAddress else { return }
    for channel in 0..<data.channels {
      let offset = channel * area
      let bytes = pixels + (example * data.imageSize + offset)
      let floats = images + (position * data.imageSize + offset)
      let values = source.table + 256 * channel
      var index = 0
      while index < area {
        floats[index] = values[Int(bytes[index])]
        index += 1
      }
    }
    labels[position] = Int32(source.labels[example])
  }
}

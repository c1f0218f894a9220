/// Images of one shape with one label each: `count` × `channels` × `height` × `width` unsigned bytes, and `count`
/// labels.
///
/// The bytes never change, so a value may be shared between threads; copies share the memory (file mappings, where the
/// data came from plain files).
public struct LabeledImages: Sendable, CustomStringConvertible {
  /// What this is, for progress lines and error messages: "MNIST training set", say.
  public let name: String
  /// The number of examples; at least one.
  public let count: Int
  /// Colour channels: 1 for grey.
  public let channels: Int
  /// Rows of an image.
  public let height: Int
  /// Columns of an image.
  public let width: Int
  /// Labels are below this.
  public let classCount: Int

  /// Where the images lie.
  let records: ImageRecords
  private let labelView: ByteView

  /// Wraps bytes in memory.
  ///
  /// - Parameters:
  ///   - name: for progress lines and error messages.
  ///   - images: N·C·H·W bytes, image by image, channel by channel, row by row.
  ///   - labels: N bytes, each below `classCount`.
  /// - Throws: ``DatasetError`` if sizes do not fit together, there is no example, or a label is out of range.
  public init(
    name: String, images: [UInt8], labels: [UInt8], channels: Int, height: Int, width: Int, classCount: Int
  ) throws {
    try self.init(
      name: name, images: ByteView(ByteStorage(copying: images)), labels: ByteView(ByteStorage(copying: labels)),
      channels: channels, height: height, width: width, classCount: classCount)
  }

  /// Images without anything between them; `labelsPath` is named where the labels are at fault.
  init(
    name: String, images: ByteView, labels: ByteView, channels: Int, height: Int, width: Int, classCount: Int,
    labelsPath: String? = nil
  ) throws {
    let imageSize = try Self.imageSize(name: name, channels: channels, height: height, width: width)
    guard labels.count > 0 else { throw DatasetError(.empty, path: labelsPath, "\(name): no examples") }
    guard images.count % imageSize == 0, images.count / imageSize == labels.count else {
      throw DatasetError(
        .counts, path: labelsPath,
        "\(name): \(images.count) image bytes and \(labels.count) labels; "
          + "\(imageSize) bytes per label were expected")
    }
    try self.init(
      name: name,
      records: ImageRecords(parts: [.init(bytes: images, count: labels.count)], stride: imageSize),
      labels: labels, channels: channels, height: height, width: width, classCount: classCount, labelsPath: labelsPath)
  }

  /// The one initialiser that all others end in. The caller vouches that each part of `records` has the bytes of its
  /// images, and that there are as many of them as labels.
  init(
    name: String, records: ImageRecords, labels: ByteView, channels: Int, height: Int, width: Int, classCount: Int,
    labelsPath: String? = nil
  ) throws {
    _ = try Self.imageSize(name: name, channels: channels, height: height, width: width)
    guard (1...256).contains(classCount) else {
      throw DatasetError(.argument, "\(name): \(classCount) classes; labels are bytes, so 1 to 256 were expected")
    }
    let bad = labels.withBytes { labels in
      labels.firstIndex { Int($0) >= classCount }.map { (index: $0, label: labels[$0]) }
    }
    if let bad {
      throw DatasetError(
        .label, path: labelsPath,
        "label \(bad.label) at index \(bad.index); labels 0 to \(classCount - 1) were expected: "
          + "are these the labels of these images?")
    }
    self.name = name
    self.count = labels.count
    self.channels = channels
    self.height = height
    self.width = width
    self.classCount = classCount
    self.records = records
    self.labelView = labels
  }

  /// C·H·W, if it can be.
  private static func imageSize(name: String, channels: Int, height: Int, width: Int) throws -> Int {
    guard channels > 0, height > 0, width > 0 else {
      throw DatasetError(.shape, "\(name): images of \(channels)×\(height)×\(width); every extent must be at least 1")
    }
    let (area, areaOverflow) = height.multipliedReportingOverflow(by: width)
    let (imageSize, sizeOverflow) = area.multipliedReportingOverflow(by: channels)
    guard !areaOverflow, !sizeOverflow else {
      throw DatasetError(.tooLarge, "\(name): images of \(channels)×\(height)×\(width) are larger than any memory")
    }
    return imageSize
  }

  /// Bytes of one image: C·H·W.
  public var imageSize: Int { channels * height * width }

  /// Lends one image's C·H·W bytes, channel by channel and row by row, for as long as `body` runs.
  public func withImage<Result>(
    _ index: Int, _ body: (UnsafeBufferPointer<UInt8>) throws -> Result
  ) rethrows -> Result {
    precondition(index >= 0 && index < count, "example \(index) of a data set of \(count)")
    return try withExtendedLifetime(records) {
      try body(UnsafeBufferPointer(start: records.pointer(to: index), count: imageSize))
    }
  }

  /// The first of the labels, for whoever keeps this value as long as the pointer.
  var labelPointer: UnsafePointer<UInt8> { labelView.start }

  /// Lends all labels, N bytes, for as long as `body` runs.
  public func withLabels<Result>(_ body: (UnsafeBufferPointer<UInt8>) throws -> Result) rethrows -> Result {
    try labelView.withBytes(body)
  }

  /// A copy of one image's C·H·W bytes, for display and tests; training goes through ``BatchAssembler``.
  public func image(_ index: Int) -> [UInt8] {
    withImage(index) { Array($0) }
  }

  /// One image's label.
  public func label(_ index: Int) -> Int {
    withLabels { Int($0[index]) }
  }

  /// One line: name, number, shape, classes.
  public var description: String {
    "\(name): \(count) images of \(channels)×\(height)×\(width), \(classCount) classes"
  }
}

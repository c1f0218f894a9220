import CKernels

/// How training images are varied, so that a network sees each in many forms: a crop, then a mirror image, then a
/// square that is blanked out.
///
/// What is drawn for an image is a function of (seed, epoch, index of the example in its set) alone, and so the same on
/// any number of ranks, in batches of any size, and in a run that is resumed. Each kind of change has random numbers of
/// its own: turning one on or off changes nothing about the others.
public struct Augmentation: Sendable, Equatable, Codable, CustomStringConvertible {
  /// What lies around an image.
  public enum Padding: String, Sendable, Codable, CaseIterable {
    /// Zero after normalisation: the mean colour, not black.
    case zero
    /// The image's reflection in its outermost row or column, which is not repeated (PyTorch's `reflect`).
    case reflect
  }

  /// Which images are mirrored, left to right.
  public enum Flip: String, Sendable, Codable, CaseIterable {
    /// None.
    case none
    /// Each with probability 1/2, anew in every epoch.
    case random
    /// In the first epoch each with probability 1/2, as with ``random``; from then on those that were not in the epoch
    /// before. So every two epochs show each image both ways (Jordan, "94% on CIFAR-10 in 3.29 seconds on a single
    /// GPU", arXiv 2404.00498).
    case alternating
  }

  /// Pixels by which an image is padded on each side before a part of its own size is cut out, with corners drawn
  /// uniformly (He et al., arXiv 1512.03385, section 4.2, use 4). 0: no crop.
  public var cropPadding: Int
  /// What the crop's padding is.
  public var padding: Padding
  /// Which images are mirrored.
  public var flip: Flip
  /// Side of a square that is set to zero after normalisation. Its centre is drawn uniformly among the image's pixels,
  /// and what lies beyond a border is lost (DeVries and Taylor, arXiv 1708.04552). 0: none.
  public var cutout: Int

  /// Nothing, unless said otherwise.
  ///
  /// - Parameters:
  ///   - cropPadding: pixels on each side, less than height and width of the images.
  ///   - padding: what they are.
  ///   - flip: which images are mirrored.
  ///   - cutout: side of the square, at most the larger of height and width.
  public init(cropPadding: Int = 0, padding: Padding = .zero, flip: Flip = .none, cutout: Int = 0) {
    self.cropPadding = cropPadding
    self.padding = padding
    self.flip = flip
    self.cutout = cutout
  }

  /// No change.
  public static let none = Augmentation()
  /// What is customary for CIFAR-10 since He et al. (arXiv 1512.03385): a crop with 4 pixels of zeros, and a random
  /// flip.
  public static let cifar10 = Augmentation(cropPadding: 4, flip: .random)

  /// Whether images stay as they are.
  public var isNone: Bool { cropPadding == 0 && flip == .none && cutout == 0 }

  /// "none", or the changes in their order: "crop 4 zero, flip random, cutout 8".
  public var description: String {
    var changes: [String] = []
    if cropPadding > 0 { changes.append("crop \(cropPadding) \(padding.rawValue)") }
    if flip != .none { changes.append("flip \(flip.rawValue)") }
    if cutout > 0 { changes.append("cutout \(cutout)") }
    return changes.isEmpty ? "none" : changes.joined(separator: ", ")
  }

  /// Throws ``DatasetError`` unless images of this size can be changed so.
  func validate(height: Int, width: Int) throws {
    guard cropPadding >= 0, cropPadding < min(height, width) else {
      throw DatasetError(
        .argument,
        "augmentation with a crop padding of \(cropPadding) pixels; images of \(height)×\(width) can have 0 to "
          + "\(min(height, width) - 1)")
    }
    guard cutout >= 0, cutout <= max(height, width) else {
      throw DatasetError(
        .argument,
        "augmentation with a cutout of \(cutout) pixels; images of \(height)×\(width) can have 0 to "
          + "\(max(height, width))")
    }
  }

  /// What is drawn for one image.
  func view(seed: UInt64, epoch: Int, example: Int, height: Int, width: Int) -> fw_image_view {
    var random = Self.stream(seed: seed, epoch: epoch, example: example)
    // Everything is drawn whether it is used or not, so that each kind of change has its place in the stream.
    let flipBit = random.next() & 1
    let extent = UInt32(truncatingIfNeeded: 2 * cropPadding + 1)
    let row = Int(random.next(below: extent)) - cropPadding
    let column = Int(random.next(below: extent)) - cropPadding
    let centreRow = Int(random.next(below: UInt32(truncatingIfNeeded: height)))
    let centreColumn = Int(random.next(below: UInt32(truncatingIfNeeded: width)))

    var view = fw_image_view()
    view.row_shift = row
    view.column_shift = column
    view.reflected = padding == .reflect
    switch flip {
    case .none: view.mirrored = false
    case .random: view.mirrored = flipBit == 1
    case .alternating:
      var first = Self.stream(seed: seed, epoch: 0, example: example)
      view.mirrored = (first.next() & 1 == 1) != (epoch & 1 == 1)
    }
    if cutout > 0 {
      view.cut_top = max(centreRow - cutout / 2, 0)
      view.cut_bottom = min(centreRow - cutout / 2 + cutout, height)
      view.cut_left = max(centreColumn - cutout / 2, 0)
      view.cut_right = min(centreColumn - cutout / 2 + cutout, width)
    }
    return view
  }

  private static func stream(seed: UInt64, epoch: Int, example: Int) -> Philox {
    Philox(
      seed: seed, domain: .augmentation,
      subject: UInt64(UInt32(truncatingIfNeeded: epoch)) << 32 | UInt64(UInt32(truncatingIfNeeded: example)))
  }
}

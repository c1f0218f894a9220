import ArgumentParser
import Datasets

extension Augmentation.Flip: ExpressibleByArgument {}
extension Augmentation.Padding: ExpressibleByArgument {}

/// Flags for how training images are varied: `@OptionGroup(title: "Augmentation") var augmentation: AugmentationFlags`.
///
/// What is not given stays as the program has it, see ``applied(to:)``.
public struct AugmentationFlags: ParsableArguments, Sendable {
  /// Trains on the images as they are.
  @Flag(help: "Train on the images as they are.")
  public var noAugment = false

  /// Pixels of padding before a part of the image's own size is cut out.
  @Option(help: "Pad by so many pixels on each side, then cut a random part of the image's size; 0: do not.")
  public var cropPadding: Int?

  /// What the padding is.
  @Option(help: "What images are padded with: \(Augmentation.Padding.allValueStrings.joined(separator: "|")).")
  public var padding: Augmentation.Padding?

  /// Which images are mirrored.
  @Option(help: "Which images are mirrored: \(Augmentation.Flip.allValueStrings.joined(separator: "|")).")
  public var flip: Augmentation.Flip?

  /// Side of the square that is blanked out.
  @Option(help: "Blank out a random square with sides of so many pixels; 0: do not.")
  public var cutout: Int?

  /// Nothing given.
  public init() {}

  /// `standard` with what the flags say in its place; no augmentation for `--no-augment`.
  public func applied(to standard: Augmentation) -> Augmentation {
    guard !noAugment else { return .none }
    var result = standard
    if let cropPadding { result.cropPadding = cropPadding }
    if let padding { result.padding = padding }
    if let flip { result.flip = flip }
    if let cutout { result.cutout = cutout }
    return result
  }

  /// Refuses negative sizes and contradictions. Whether the images are large enough is known only with the data.
  ///
  /// - Throws: `ValidationError` with a message that names the flag, the value and what is allowed.
  public func validate() throws {
    for (flag, value) in [("--crop-padding", cropPadding), ("--cutout", cutout)] {
      if let value, value < 0 { throw ValidationError("\(flag) is \(value); expected a number of pixels, 0 or more") }
    }
    if noAugment && (cropPadding != nil || padding != nil || flip != nil || cutout != nil) {
      throw ValidationError(
        "--no-augment turns off what --crop-padding, --padding, --flip and --cutout ask for; give either it or them")
    }
  }
}

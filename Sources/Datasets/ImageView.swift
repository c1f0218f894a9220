import CKernels

/// One way to look at all images alike, for networks whose outputs over several views are averaged when evaluating.
public struct ImageView: Sendable, Equatable {
  /// Whether images are mirrored, left to right.
  public var mirrored: Bool
  /// Pixels by which the view is moved down, less than the height either way; the image then appears further up.
  public var rowShift: Int
  /// Pixels by which the view is moved to the right, less than the width either way.
  public var columnShift: Int
  /// What the view shows beyond an image's borders.
  public var padding: Augmentation.Padding

  /// The image itself, unless said otherwise.
  public init(mirrored: Bool = false, rowShift: Int = 0, columnShift: Int = 0, padding: Augmentation.Padding = .zero) {
    self.mirrored = mirrored
    self.rowShift = rowShift
    self.columnShift = columnShift
    self.padding = padding
  }

  /// The image itself.
  public static let plain = ImageView()

  /// The same for the kernels.
  func kernelView(height: Int, width: Int) -> fw_image_view {
    precondition(
      abs(rowShift) < height && abs(columnShift) < width,
      "a view moved by \(rowShift) rows and \(columnShift) columns of an image of \(height)×\(width)")
    var view = fw_image_view()
    view.row_shift = rowShift
    view.column_shift = columnShift
    view.mirrored = mirrored
    view.reflected = padding == .reflect
    return view
  }
}

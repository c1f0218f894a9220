import ArgumentParser
import Datasets

/// How an image is looked at when it is evaluated: the outputs over several views are averaged.
public enum EvaluationViews: String, ExpressibleByArgument, Sendable, CaseIterable {
  /// The image itself.
  case plain
  /// The image and its mirror image.
  case mirrored
  /// Both as they are, with half of the weight, and moved by one pixel along the diagonal, up and left, and down and
  /// right, with what lies beyond the border reflected (Jordan 2024, arXiv 2404.00498, section 3.3): six views.
  case shifted

  /// The views, each with its part in the average.
  var views: [(view: ImageView, weight: Float)] {
    func pair(shift: Int, weight: Float) -> [(ImageView, Float)] {
      [false, true].map {
        (ImageView(mirrored: $0, rowShift: shift, columnShift: shift, padding: .reflect), weight)
      }
    }
    switch self {
    case .plain: return [(.plain, 1)]
    case .mirrored: return pair(shift: 0, weight: 0.5)
    case .shifted: return pair(shift: 0, weight: 0.25) + [-1, 1].flatMap { pair(shift: $0, weight: 0.125) }
    }
  }
}

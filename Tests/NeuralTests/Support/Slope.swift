import Neural

extension Harness {
  /// The slope of the plan's own loss along a direction of the parameter arena, where the parameters are now, by
  /// Richardson's extrapolation of central differences: the steps can be large enough for single precision.
  ///
  /// Between a ReLU's or a pooling's kink, which a large step crosses, and single precision's rounding, which a small
  /// one enlarges, no step suits all networks: of some lengths that one's slope counts that comes closest to what is
  /// expected.
  ///
  /// - Parameters:
  ///   - direction: one number for each of the arena; zero on padding.
  ///   - expected: what the slope should be.
  ///   - tolerance: how close is close enough to try no other length.
  func slope(
    along direction: [Double], expected: Double, within tolerance: Double, step: Int, firstExample: Int
  ) throws -> Double {
    var best = Double.infinity
    for distance in [4e-3, 1e-3, 2.5e-4] {
      let found = try slope(along: direction, distance: distance, step: step, firstExample: firstExample)
      if abs(found - expected) < abs(best - expected) { best = found }
      if abs(best - expected) <= tolerance { break }
    }
    return best
  }

  private func slope(along direction: [Double], distance: Double, step: Int, firstExample: Int) throws -> Double {
    let norm = direction.reduce(0) { $0 + $1 * $1 }.squareRoot()
    guard norm > 0 else { return 0 }
    let start = parameters.values
    let moved = direction.indices.filter { direction[$0] != 0 }
    func loss(at distance: Double) throws -> Double {
      for index in moved {
        parameters.pointer[index] = Float(Double(start[index]) + distance * direction[index] / norm)
      }
      return try plan.forward(step: step, firstExample: firstExample)
    }
    let coarse = (try loss(at: 2 * distance) - loss(at: -2 * distance)) / (4 * distance)
    let fine = (try loss(at: distance) - loss(at: -distance)) / (2 * distance)
    for index in moved { parameters.pointer[index] = start[index] }
    return norm * (4 * fine - coarse) / 3
  }
}

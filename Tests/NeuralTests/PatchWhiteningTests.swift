import Neural
import Testing

@Suite struct PatchWhiteningTests {
  private let shape = [3, 8, 7]

  /// Images whose neighbours and channels hang together.
  private func images(_ count: Int) -> [Float] {
    var random = SplitMix(state: 6)
    let size = shape.reduce(1, *)
    return (0..<count).flatMap { _ -> [Float] in
      var image = (0..<size).map { _ in random.uniform() }
      let tint = random.uniform()
      for index in 1..<size { image[index] = 0.7 * image[index - 1] + 0.5 * image[index] + 0.3 * tint + 0.1 }
      return image
    }
  }

  /// What filters make of the patches at every other row and column, one row a patch.
  private func responses(_ images: [Float], _ filters: [Float], kernel: Int) -> [[Double]] {
    let (height, width, size) = (shape[1], shape[2], shape[0] * kernel * kernel)
    var rows: [[Double]] = []
    for image in stride(from: 0, to: images.count, by: shape.reduce(1, *)) {
      for top in stride(from: 0, through: height - kernel, by: 2) {
        for left in stride(from: 0, through: width - kernel, by: 2) {
          var patch: [Double] = []
          for channel in 0..<shape[0] {
            for row in 0..<kernel {
              for column in 0..<kernel {
                patch.append(Double(images[image + (channel * height + top + row) * width + left + column]))
              }
            }
          }
          rows.append(
            (0..<filters.count / size).map { filter in
              (0..<size).reduce(0.0) { $0 + Double(filters[filter * size + $1]) * patch[$1] }
            })
        }
      }
    }
    return rows
  }

  private func covariance(_ rows: [[Double]]) -> [[Double]] {
    let count = Double(rows.count)
    let size = rows[0].count
    let means = (0..<size).map { column in rows.reduce(0) { $0 + $1[column] } / count }
    return (0..<size).map { i in
      (0..<size).map { j in rows.reduce(0) { $0 + ($1[i] - means[i]) * ($1[j] - means[j]) } / count }
    }
  }

  @Test(arguments: [(2, 24), (2, 10), (3, 16)])
  func whitenedPatchesAreUncorrelated(_ kernel: Int, _ filters: Int) throws {
    let images = images(60)
    let made = try PatchWhitening.filters(
      images: images, shape: shape, kernel: kernel, filters: filters, epsilon: 1e-9)
    let size = 3 * kernel * kernel
    #expect(made.count == filters * size)
    let first = Array(made.prefix(filters / 2 * size))
    // The second half is the first with the other sign.
    #expect(Array(made.suffix(filters / 2 * size)) == first.map { -$0 })
    let found = covariance(responses(images, first, kernel: kernel))
    for (i, row) in found.enumerated() {
      for (j, value) in row.enumerated() { #expect(abs(value - (i == j ? 1 : 0)) < 1e-3, "\(i), \(j)") }
    }
    // Filters have a length of 1/√eigenvalue: those of the largest eigenvalues come first.
    let lengths = (0..<filters / 2).map { filter in
      first[filter * size..<(filter + 1) * size].reduce(0) { $0 + $1 * $1 }
    }
    #expect(zip(lengths, lengths.dropFirst()).allSatisfy { $0 <= $1 * 1.0001 })
  }

  @Test func epsilonBoundsWhatIsBlownUp() throws {
    let (images, epsilon) = (images(40), 0.05)
    let made = try PatchWhitening.filters(images: images, shape: shape, kernel: 2, filters: 24, epsilon: epsilon)
    let found = covariance(responses(images, Array(made.prefix(12 * 12)), kernel: 2))
    for index in 0..<12 {
      // λ/(λ+ε), and the filter's length squared is 1/(λ+ε).
      let length = made[index * 12..<(index + 1) * 12].reduce(0.0) { $0 + Double($1) * Double($1) }
      #expect(abs(found[index][index] - (1 - epsilon * length)) < 1e-4)
    }
    // Images without any variance whiten to something finite.
    let flat = [Float](repeating: 0.5, count: 4 * 168)
    let filters = try PatchWhitening.filters(images: flat, shape: shape, kernel: 3, filters: 54, epsilon: 1e-4)
    #expect(filters.allSatisfy { $0.isFinite && abs($0) <= 101 })
  }

  @Test func sizesThatDoNotFitAreRefused() {
    func message(
      _ count: Int = 168, _ shape: [Int] = [3, 8, 7], kernel: Int = 3, filters: Int = 8, epsilon: Double = 1e-3
    ) -> String {
      do {
        _ = try PatchWhitening.filters(
          images: [Float](repeating: 0, count: count), shape: shape, kernel: kernel, filters: filters, epsilon: epsilon)
        return "accepted"
      } catch {
        return "\(error)"
      }
    }
    #expect(message() == "accepted")
    for text in [
      message(0), message(167), message(168, [168]), message(168, [3, 8, 7, 1]), message(168, kernel: 0),
      message(168, kernel: -1), message(168, kernel: 8), message(168, [3, 0, 7]), message(168, [-3, -8, 7]),
      message(168, []),
    ] {
      #expect(text.hasPrefix("images: received") && text.contains("no smaller than a patch"), "\(text)")
    }
    for filters in [0, 1, 7, -2, 56] {
      let text = message(filters: filters)
      #expect(text.contains("filters: received \(filters)") && text.contains("from 2 to 54"), "\(text)")
    }
    for epsilon in [0, -1, Double.nan, .infinity] { #expect(message(epsilon: epsilon).contains("epsilon: received")) }
  }
}

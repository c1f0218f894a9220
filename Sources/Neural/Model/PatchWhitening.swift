internal import Glibc

/// A first convolution whose filters decorrelate the patches of the images (zero-phase or principal-component whitening
/// of patches; Coates and Ng 2012). The filters follow from the training images and need no training.
public enum PatchWhitening {
  /// Filters that whiten the patches of images: eigenvectors of the patches' covariance, each divided by the square
  /// root of its eigenvalue plus ε, those of the largest eigenvalues first; then the same with the other sign, so that
  /// an activation that cuts negative values off loses nothing.
  ///
  /// - Parameters:
  ///   - images: N × channels × height × width floats in row-major order, as the network gets them.
  ///   - shape: `[channels, height, width]`.
  ///   - kernel: height and width of a patch.
  ///   - filters: an even number of filters, at most twice the numbers in a patch.
  ///   - epsilon: added to the eigenvalues: what directions of little variance are not to be blown up beyond; above 0.
  /// - Returns: filters × channels × kernel × kernel floats, the weights of a convolution.
  /// - Throws: ``PlanError`` for sizes that do not fit, or an ε of no more than 0.
  public static func filters(
    images: [Float], shape: [Int], kernel: Int, filters: Int, epsilon: Double
  ) throws(PlanError) -> [Float] {
    let size = shape.count == 3 ? shape[0] * kernel * kernel : 0
    guard shape.count == 3, shape[0] >= 1, kernel >= 1, kernel <= shape[1], kernel <= shape[2], !images.isEmpty,
      images.count % shape.reduce(1, *) == 0
    else {
      throw .value(
        name: "images", received: "\(images.count) numbers of shape \(shape), patches of \(kernel)",
        expected: "whole images of channels × height × width, no smaller than a patch")
    }
    guard filters >= 2, filters % 2 == 0, filters / 2 <= size else {
      throw .value(name: "filters", received: "\(filters)", expected: "an even number from 2 to \(2 * size)")
    }
    guard epsilon > 0 && epsilon.isFinite else {
      throw .value(name: "epsilon", received: "\(epsilon)", expected: "a finite number above 0")
    }
    var matrix = covariance(images, shape, kernel)
    let (values, vectors) = eigen(&matrix, size)
    let order = (0..<size).sorted { values[$0] > values[$1] }
    var result: [Float] = []
    for sign in [1.0, -1.0] {
      for column in order.prefix(filters / 2) {
        let factor = sign / (max(values[column], 0) + epsilon).squareRoot()
        for row in 0..<size { result.append(Float(factor * vectors[row * size + column])) }
      }
    }
    return result
  }

  /// E[p pᵀ] - E[p] E[p]ᵀ over the patches at every other row and column, size × size.
  private static func covariance(_ images: [Float], _ shape: [Int], _ kernel: Int) -> [Double] {
    let (channels, height, width) = (shape[0], shape[1], shape[2])
    let size = channels * kernel * kernel
    let imageSize = channels * height * width
    var products = [Double](repeating: 0, count: size * size)
    var sums = [Double](repeating: 0, count: size)
    var patch = [Double](repeating: 0, count: size)
    var count = 0.0
    for image in stride(from: 0, to: images.count, by: imageSize) {
      for top in stride(from: 0, through: height - kernel, by: 2) {
        for left in stride(from: 0, through: width - kernel, by: 2) {
          var index = 0
          for channel in 0..<channels {
            for row in 0..<kernel {
              let start = image + (channel * height + top + row) * width + left
              for column in 0..<kernel {
                patch[index] = Double(images[start + column])
                index += 1
              }
            }
          }
          count += 1
          for row in 0..<size {
            sums[row] += patch[row]
            for column in row..<size { products[row * size + column] += patch[row] * patch[column] }
          }
        }
      }
    }
    for row in 0..<size {
      for column in row..<size {
        let value = products[row * size + column] / count - sums[row] / count * (sums[column] / count)
        products[row * size + column] = value
        products[column * size + row] = value
      }
    }
    return products
  }

  /// Eigenvalues and, in columns, eigenvectors of a symmetric matrix, by Jacobi's rotations in cyclic order (Golub and
  /// Van Loan, "Matrix computations", 8.5). The matrix is destroyed.
  private static func eigen(_ matrix: inout [Double], _ size: Int) -> (values: [Double], vectors: [Double]) {
    var vectors = [Double](repeating: 0, count: size * size)
    for index in 0..<size { vectors[index * size + index] = 1 }
    // It converges quadratically: a few sweeps do.
    for _ in 0..<30 {
      var rest = 0.0
      for row in 0..<size {
        for column in 0..<row { rest += matrix[row * size + column] * matrix[row * size + column] }
      }
      if rest < 1e-24 { break }
      for p in 0..<size {
        for q in (p + 1)..<max(size, p + 1) where matrix[p * size + q] != 0 {
          let theta = (matrix[q * size + q] - matrix[p * size + p]) / (2 * matrix[p * size + q])
          let tangent = (theta < 0 ? -1 : 1) / (abs(theta) + (theta * theta + 1).squareRoot())
          let cosine = 1 / (tangent * tangent + 1).squareRoot()
          let sine = tangent * cosine
          for index in 0..<size {
            let (a, b) = (matrix[index * size + p], matrix[index * size + q])
            matrix[index * size + p] = cosine * a - sine * b
            matrix[index * size + q] = sine * a + cosine * b
          }
          for index in 0..<size {
            let (a, b) = (matrix[p * size + index], matrix[q * size + index])
            matrix[p * size + index] = cosine * a - sine * b
            matrix[q * size + index] = sine * a + cosine * b
          }
          for index in 0..<size {
            let (a, b) = (vectors[index * size + p], vectors[index * size + q])
            vectors[index * size + p] = cosine * a - sine * b
            vectors[index * size + q] = sine * a + cosine * b
          }
        }
      }
    }
    return ((0..<size).map { matrix[$0 * size + $0] }, vectors)
  }
}

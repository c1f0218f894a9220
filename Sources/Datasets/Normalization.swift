/// What turns a byte into a network's input: (byte / 255 - mean) / standard deviation, per channel.
public struct Normalization: Sendable, Equatable, Codable {
  /// Per channel, of bytes divided by 255.
  public var mean: [Float]
  /// Per channel, of bytes divided by 255; more than zero.
  public var standardDeviation: [Float]

  /// - Parameters:
  ///   - mean: one value per channel, of bytes divided by 255.
  ///   - standardDeviation: one value per channel, of bytes divided by 255.
  public init(mean: [Float], standardDeviation: [Float]) {
    self.mean = mean
    self.standardDeviation = standardDeviation
  }

  /// The customary values for MNIST: 0.1307 and 0.3081.
  public static let mnist = Normalization(mean: [0.1307], standardDeviation: [0.3081])

  /// The customary values for CIFAR-10: 0.4914, 0.4822, 0.4465 and 0.2470, 0.2435, 0.2616 for red, green and blue.
  public static let cifar10 = Normalization(
    mean: [0.4914, 0.4822, 0.4465], standardDeviation: [0.2470, 0.2435, 0.2616])

  /// The values of a data set itself: exact counts of each byte value, so the result does not depend on any order.
  ///
  /// A channel of one single value gets a standard deviation of 1, which leaves it constant.
  public init(measuring data: LabeledImages) {
    let area = data.height * data.width
    var counts = [Int](repeating: 0, count: data.channels * 256)
    for example in 0..<data.count {
      data.withImage(example) { image in
        for channel in 0..<data.channels {
          var index = channel * area
          let end = index + area
          while index < end {
            counts[channel * 256 + Int(image[index])] += 1
            index += 1
          }
        }
      }
    }
    mean = []
    standardDeviation = []
    for channel in 0..<data.channels {
      let histogram = counts[(channel * 256)..<(channel * 256 + 256)]
      var (total, sum, squares) = (0.0, 0.0, 0.0)
      for (value, count) in zip(0..., histogram) {
        total += Double(count)
        sum += Double(count) * Double(value)
        squares += Double(count) * Double(value * value)
      }
      let average = sum / total
      let variance = max(0, squares / total - average * average)
      mean.append(Float(average / 255))
      standardDeviation.append(variance > 0 ? Float(variance.squareRoot() / 255) : 1)
    }
  }

  /// Throws ``DatasetError`` unless there is one finite mean and one finite, positive deviation per channel.
  func validate(channels: Int) throws {
    guard mean.count == channels, standardDeviation.count == channels else {
      throw DatasetError(
        .argument,
        "normalisation with \(mean.count) means and \(standardDeviation.count) standard deviations; "
          + "\(channels) of each were expected, one per channel")
    }
    if let value = mean.first(where: { !$0.isFinite }) {
      throw DatasetError(.argument, "normalisation with mean \(value); a finite number was expected")
    }
    if let value = standardDeviation.first(where: { !$0.isFinite || $0 <= 0 }) {
      throw DatasetError(.argument, "normalisation with standard deviation \(value); more than 0 was expected")
    }
  }
}

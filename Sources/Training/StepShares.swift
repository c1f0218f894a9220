import Monitoring

/// Where the time of a step went. The parts add up to the whole step.
public struct StepShares: Sendable, Equatable {
  /// Seconds by the raw value of `Phase.Share`.
  private var values = SIMD8<Double>()

  /// No time at all.
  public init() {}

  /// Seconds of one part.
  public subscript(share: Phase.Share) -> Double {
    get { values[share.rawValue] }
    set { values[share.rawValue] = newValue }
  }

  /// The sum of all parts.
  public var total: Double { values.sum() }

  /// What came to an earlier state of the same counters.
  public static func - (now: StepShares, before: StepShares) -> StepShares {
    var difference = StepShares()
    difference.values = now.values - before.values
    return difference
  }

  static func + (a: StepShares, b: StepShares) -> StepShares {
    var sum = StepShares()
    sum.values = a.values + b.values
    return sum
  }

  /// All parts times a factor.
  static func * (shares: StepShares, factor: Double) -> StepShares {
    var product = StepShares()
    product.values = shares.values * factor
    return product
  }

  /// All counters of a thread so far.
  public init(_ recorder: ThreadRecorder) {
    withUnsafeMutableBytes(of: &values) { bytes in
      guard let base = bytes.bindMemory(to: Double.self).baseAddress else { return }
      recorder.addShares(to: base)
    }
  }

  /// The same, with up to `seconds` of what was waited for messages counted as waiting for the slowest rank.
  func attributing(toSlowest seconds: Double) -> StepShares {
    let late = max(0, min(seconds, self[.communication]))
    var shares = self
    shares[.communication] -= late
    shares[.waiting] += late
    return shares
  }

  /// The numbers in the order of `Phase.Share`, to be added up over the ranks.
  var list: [Double] { Phase.Share.allCases.map { self[$0] } }

  /// The inverse of ``list``.
  init(list: some Sequence<Double>) {
    for (share, value) in zip(Phase.Share.allCases, list) { self[share] = value }
  }
}

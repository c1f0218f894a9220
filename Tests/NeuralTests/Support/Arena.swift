import Neural

/// Floats on 64-byte boundaries, freed with the object. A plan writes its padding, so a guard behind it is checked.
final class Arena {
  let pointer: UnsafeMutablePointer<Float>
  let count: Int
  private static let guardCount = 16
  private static let guardValue: Float = 12345

  init(count: Int, filledWith value: Float = 0) {
    self.count = count
    let total = count + Self.guardCount
    pointer = UnsafeMutableRawPointer.allocate(byteCount: total * 4, alignment: 64)
      .bindMemory(to: Float.self, capacity: total)
    pointer.initialize(repeating: value, count: count)
    (pointer + count).initialize(repeating: Self.guardValue, count: Self.guardCount)
  }

  deinit { pointer.deallocate() }

  var values: [Float] { Array(UnsafeBufferPointer(start: pointer, count: count)) }
  var bits: [UInt32] { values.map(\.bitPattern) }
  var isGuardIntact: Bool { (0..<Self.guardCount).allSatisfy { pointer[count + $0] == Self.guardValue } }
}

/// A plan with arenas, initial parameters and a batch.
final class Harness {
  let model: Sequential
  let plan: Plan
  let parameters: Arena
  let gradients: Arena
  /// The batch, before any rounding to the plan's precision.
  let input: [Float]

  init(_ model: Sequential, batchSize: Int, options: PlanOptions = PlanOptions(), dataSeed: UInt64 = 1) throws {
    self.model = model
    plan = try Plan(model, batchSize: batchSize, options: options)
    parameters = Arena(count: plan.layout.count)
    gradients = Arena(count: plan.layout.count)
    try plan.initializeParameters(seed: 11, into: parameters.pointer)
    try plan.bind(parameters: parameters.pointer, gradients: gradients.pointer)
    var random = SplitMix(state: dataSeed)
    input = (0..<batchSize * model.input.reduce(1, *)).map { _ in random.uniform() }
    try plan.fillInput(input)
    for index in 0..<batchSize { plan.labels[index] = Int32(random.next() % UInt64(plan.classCount)) }
  }

  /// A forward and a backward pass; the loss.
  @discardableResult
  func step(_ step: Int = 0, firstExample: Int = 0) throws -> Double {
    let loss = try plan.forward(step: step, firstExample: firstExample)
    try plan.backward { _ in }
    return loss
  }

  func canonical(_ arena: Arena) throws -> [String: [Float]] {
    var result: [String: [Float]] = [:]
    for (index, tensor) in plan.layout.tensors.enumerated() {
      var values = [Float](repeating: 0, count: tensor.elementCount)
      try values.withUnsafeMutableBufferPointer { buffer in
        guard let base = buffer.baseAddress else { return }
        try plan.writeCanonical(tensor: index, from: arena.pointer, to: base)
      }
      result[tensor.name] = values
    }
    return result
  }

  /// Puts other values into a tensor of the parameter arena.
  func setParameter(_ index: Int, to values: [Float]) throws {
    try values.withUnsafeBufferPointer { buffer in
      guard let base = buffer.baseAddress else { return }
      try plan.readCanonical(tensor: index, from: base, to: parameters.pointer)
    }
  }

  /// The batch's losses and gradients in double precision, by ``ReferenceNetwork``.
  func reference() throws -> (loss: Double, gradients: [String: [Double]]) {
    let network = try ReferenceNetwork(model, parameters: canonical(parameters).mapValues { $0.map(Double.init) })
    return network.lossAndGradients(
      input: plan.input.map(Double.init), labels: plan.labels.map(Int.init), batch: plan.batchSize,
      smoothing: plan.options.labelSmoothing)
  }
}

/// Small numbers that are the same on every machine (Vigna's splitmix64).
struct SplitMix: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }

  /// In -1 ..< 1.
  mutating func uniform() -> Float { Float(next() >> 40) * 0x1p-23 - 1 }
}

/// ‖a - b‖ / ‖b‖.
func relativeError(_ a: [Float], _ b: [Double]) -> Double {
  var (difference, norm) = (0.0, 0.0)
  for (first, second) in zip(a, b) {
    difference += (Double(first) - second) * (Double(first) - second)
    norm += second * second
  }
  return norm == 0 ? difference.squareRoot() : (difference / norm).squareRoot()
}

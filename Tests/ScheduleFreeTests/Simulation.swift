import Testing

@testable import ScheduleFree

/// A rule with the memory it works on. Owns all of it; each array has guard elements on both sides, and begins `offset`
/// elements behind a multiple of 64 bytes.
final class Simulation<Scalar: RuleScalar> {
  enum Pass {
    case rule
    case plain
  }

  var rule: any UpdateRule
  /// Handed on to the rule with every slice.
  var streamsY = false
  /// Whether a kernel has found something in y that is not finite.
  var foundNonFinite: Bool { found.pointee }
  private let found: UnsafeMutablePointer<Bool>
  let count: Int
  private let guardCount = 16
  private let offset: Int
  private let memory: UnsafeMutableRawBufferPointer
  private let stride: Int
  private let state: UnsafeMutablePointer<UnsafeMutablePointer<Scalar>>
  private let yStart: UnsafeMutablePointer<Scalar>

  init(_ rule: any UpdateRule, parameters: [Scalar], offset: Int = 0) {
    self.rule = rule
    self.offset = offset
    count = parameters.count
    let slots = rule.stateSlots
    stride = (count + offset + 2 * guardCount + 63) / 64 * 64
    memory = .allocate(byteCount: (slots.count + 1) * stride * MemoryLayout<Scalar>.stride, alignment: 64)
    let base = memory.bindMemory(to: Scalar.self)
    base.initialize(repeating: -77)
    let first = base.baseAddress! + guardCount + offset
    found = .allocate(capacity: 1)
    found.initialize(to: false)
    state = .allocate(capacity: slots.count)
    for (index, slot) in slots.enumerated() {
      state[index] = first + index * stride
      for i in 0..<count { state[index][i] = slot.initial == .parameters ? parameters[i] : 0 }
    }
    yStart = first + slots.count * stride
    writeGradientPoint()
  }

  deinit {
    memory.deallocate()
    state.deallocate()
    found.deallocate()
  }

  /// The same state in memory of its own, under another rule value.
  func copy(with rule: any UpdateRule) -> Simulation {
    let copy = Simulation(rule, parameters: y, offset: offset)
    for index in rule.stateSlots.indices { copy.state[index].update(from: state[index], count: count) }
    copy.writeGradientPoint()
    return copy
  }

  var y: [Scalar] { Array(UnsafeBufferPointer(start: yStart, count: count)) }
  var evaluated: [Scalar] { slot(rule.evaluationSlot) }
  func slot(_ index: Int) -> [Scalar] { Array(UnsafeBufferPointer(start: state[index], count: count)) }
  func slot(_ name: String) -> [Scalar]? { rule.stateSlots.firstIndex { $0.name == name }.map(slot) }

  /// Everything a step leaves behind: y and all slots.
  var everything: [[Scalar]] { [y] + rule.stateSlots.indices.map(slot) }

  /// Whether nothing was written beside the arrays.
  var guardsAreIntact: Bool {
    let base = memory.assumingMemoryBound(to: Scalar.self)
    return (0...rule.stateSlots.count).allSatisfy { array in
      (0..<stride).allSatisfy { i in
        (guardCount + offset..<guardCount + offset + count).contains(i) || base[array * stride + i] == -77
      }
    }
  }

  func writeGradientPoint() {
    Scalar.writeGradientPoint(rule, state: UnsafePointer(state), y: yStart, count: count)
  }

  /// Overwrites y, which no update may notice.
  func spoilGradientPoint() { for i in 0..<count { yStart[i] = .nan } }

  /// One step with the given gradients, in slices of `slice` elements (all at once without). Global sums are taken over
  /// everything at once, so that they do not depend on the slices.
  func step(_ gradients: [[Scalar]], scale: Scalar = 1, loss: Double = 2, slice: Int? = nil, pass: Pass = .rule) {
    withCopies(of: gradients) { copies in
      rule.beginStep(loss: loss, sums: sums(copies, scale: scale, pass: pass))
      var begin = 0
      repeat {
        let length = min(slice ?? count, count - begin)
        withRange(copies, scale: scale, begin: begin, length: length) { range in
          switch (pass, rule as? any PlainRule) {
          case (.rule, _): Scalar.update(rule, range)
          case (.plain, .some(let plain)): plain.plainUpdate(range)
          case (.plain, .none): Issue.record("\(rule.name) has no plain pass")
          }
        }
        begin += length
      } while begin < count
    }
  }

  /// The rule's global sums, over everything.
  func sums(_ gradients: [[Scalar]], scale: Scalar, pass: Pass) -> [Double] {
    var result: [Double] = []
    withCopies(of: gradients) { result = sums($0, scale: scale, pass: pass) }
    return result
  }

  private func sums(_ gradients: [UnsafePointer<Scalar>], scale: Scalar, pass: Pass) -> [Double] {
    var sums = rule.globalSums.map { _ in 0.0 }
    guard !sums.isEmpty else { return [] }
    withRange(gradients, scale: scale, begin: 0, length: count) { range in
      switch (pass, rule as? any PlainSums) {
      case (.plain, .some(let plain)): plain.plainAddSums(over: range, to: &sums)
      default: Scalar.addSums(rule, over: range, to: &sums)
      }
    }
    return sums
  }

  /// Copies gradients to memory of their own, each one element behind a 64-byte boundary, and checks afterwards that
  /// they have only been read.
  private func withCopies(of gradients: [[Scalar]], _ body: ([UnsafePointer<Scalar>]) -> Void) {
    let size = MemoryLayout<Scalar>.stride
    let copies = gradients.map { gradient -> UnsafeMutablePointer<Scalar> in
      let copy = UnsafeMutableRawPointer.allocate(byteCount: (count + 1) * size, alignment: 64)
      copy.initializeMemory(as: Scalar.self, repeating: .nan, count: 1)
      _ = (copy + size).initializeMemory(as: Scalar.self, from: gradient, count: count)
      return copy.assumingMemoryBound(to: Scalar.self)
    }
    body(copies.map { UnsafePointer($0 + 1) })
    for (copy, gradient) in zip(copies, gradients) {
      let after = UnsafeRawBufferPointer(start: copy + 1, count: count * size)
      let unchanged = gradient.withUnsafeBytes { $0.elementsEqual(after) }
      #expect(unchanged, "\(rule.name) wrote to a gradient")
      copy.deallocate()
    }
  }

  private func withRange(
    _ gradients: [UnsafePointer<Scalar>], scale: Scalar, begin: Int, length: Int,
    _ body: (ElementRange<Scalar>) -> Void
  ) {
    let pointers = gradients.map { $0 + begin }
    let slots = rule.stateSlots.indices.map { state[$0] + begin }
    pointers.withUnsafeBufferPointer { pointers in
      slots.withUnsafeBufferPointer { slots in
        var range = ElementRange(
          gradients: pointers.baseAddress!, gradientCount: pointers.count, gradientScale: scale, y: yStart + begin,
          state: slots.baseAddress!, count: length)
        range.streamsY = streamsY
        range.foundNonFinite = found
        body(range)
      }
    }
  }
}

extension UpdateRule {
  /// Begins the next step with the given totals.
  mutating func beginStep(loss: Double, sums: [Double]) {
    sums.withUnsafeBufferPointer { beginStep(StepTotals(loss: loss, sums: $0.baseAddress)) }
  }
}

/// A small generator of test values, the same on every machine (splitmix64, Steele, Lea and Flood 2014).
struct TestRandom {
  private var state: UInt64

  init(seed: UInt64) { state = seed }

  mutating func bits() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }

  /// Values in (-1, 1) with all bits of single precision in use.
  mutating func values(_ count: Int) -> [Float] {
    (0..<count).map { _ in Float(Int64(bitPattern: bits()) >> 39) * 0x1p-24 }
  }
}

/// The largest difference, relative to the largest magnitude of the two.
func relativeDistance<A: BinaryFloatingPoint, B: BinaryFloatingPoint>(_ a: [A], _ b: [B]) -> Double {
  guard a.count == b.count else { return .infinity }
  var difference = 0.0
  var magnitude = 0.0
  for (a, b) in zip(a, b) {
    let (a, b) = (Double(a), Double(b))
    guard a.isFinite, b.isFinite else { return .infinity }
    difference = max(difference, abs(a - b))
    magnitude = max(magnitude, abs(a), abs(b))
  }
  return difference == 0 ? 0 : difference / magnitude
}

/// The bits of all values, so that zeros of either sign and NaN count as what they are.
func bits(_ arrays: [[Float]]) -> [[UInt32]] { arrays.map { $0.map(\.bitPattern) } }

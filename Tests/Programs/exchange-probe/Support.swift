// What the checks share: arenas, gradients that show every order of summation, and a serial run to compare with.

import DataParallel
import MPI
import ProbeSupport
import ScheduleFree

/// An arena: tensors of the given sizes, one behind the other, and a bucket size.
struct Case {
  var sizes: [Int]
  var bucket: Int
  var count: Int { sizes.reduce(0, +) }

  func layout() throws -> BucketLayout {
    var offsets: [Int] = []
    var offset = 0
    for size in sizes {
      offsets.append(offset)
      offset += size
    }
    return try BucketLayout(elementCount: offset, tensorOffsets: offsets, targetCount: bucket)
  }
}

/// Primes, sizes below one cache line, fewer elements than ranks, several buckets, and a single large one.
let cases = [
  Case(sizes: [1], bucket: 16), Case(sizes: [3, 2], bucket: 1), Case(sizes: [17, 16, 15, 1], bucket: 20),
  Case(sizes: [1009, 32, 4099, 7], bucket: 512), Case(sizes: [20011], bucket: 1 << 18),
  Case(sizes: [64, 64, 64, 64, 64], bucket: 64),
]

/// A deterministic number in -1..<1 with a full mantissa, so that orders of summation show (SplitMix64's finaliser).
func noise(_ a: Int, _ b: Int, _ c: Int) -> Float {
  var bits = UInt64(truncatingIfNeeded: a &* 1_000_003 &+ b &* 7919 &+ c) &+ 0x9E37_79B9_7F4A_7C15
  bits = (bits ^ (bits >> 30)) &* 0xBF58_476D_1CE4_E5B9
  bits = (bits ^ (bits >> 27)) &* 0x94D0_49BB_1331_11EB
  bits ^= bits >> 31
  return Float(bits >> 40) / Float(1 << 23) - 1
}

func gradient(step: Int, rank: Int, index: Int) -> Float { noise(step + 1, rank + 1, index) }

/// The same steps on one rank's memory, without any exchange: what every exchange must reproduce.
final class Serial {
  var rule: any UpdateRule
  var y: [Float]
  var state: [[Float]]

  init(_ rule: any UpdateRule, count: Int) {
    self.rule = rule
    let initial = (0..<count).map { noise(0, 0, $0) }
    y = initial
    state = rule.stateSlots.map { $0.initial == .parameters ? initial : [Float](repeating: 0, count: count) }
    writeGradientPoint()
  }

  func withPointers(_ body: (UnsafePointer<UnsafeMutablePointer<Float>>, UnsafeMutablePointer<Float>) -> Void) {
    let arrays = state.map { array in
      let pointer = UnsafeMutablePointer<Float>.allocate(capacity: array.count)
      pointer.initialize(from: array, count: array.count)
      return pointer
    }
    y.withUnsafeMutableBufferPointer { y in
      arrays.withUnsafeBufferPointer { body($0.baseAddress!, y.baseAddress!) }
    }
    for (index, pointer) in arrays.enumerated() {
      state[index] = Array(UnsafeBufferPointer(start: pointer, count: y.count))
      pointer.deallocate()
    }
  }

  func writeGradientPoint() {
    let count = y.count
    withPointers { rule.writeGradientPoint(state: $0, y: $1, count: count) }
  }

  func step(_ gradients: [[Float]], scale: Float = 1) {
    rule.beginStep()
    let copies = gradients.map { array in
      let pointer = UnsafeMutablePointer<Float>.allocate(capacity: array.count)
      pointer.initialize(from: array, count: array.count)
      return UnsafePointer(pointer)
    }
    let count = y.count
    copies.withUnsafeBufferPointer { copies in
      withPointers { state, y in
        rule.update(
          ElementRange(
            gradients: copies.baseAddress!, gradientCount: copies.count, gradientScale: scale, y: y, state: state,
            count: count))
      }
    }
    for copy in copies { copy.deallocate() }
  }
}

/// How the shared exchange goes between nodes, where there are several: told by the command line.
let between = InterNodeOptions(
  overlaps: !CommandLine.arguments.contains("after-backward"),
  algorithm: CommandLine.arguments.contains("halving") ? .halving : .direct)

func fillGradients(_ optimizer: ShardedOptimizer, step: Int, rank: Int) {
  for index in 0..<optimizer.layout.elementCount {
    optimizer.gradients[index] = gradient(step: step, rank: rank, index: index)
  }
}

func parameters(_ optimizer: ShardedOptimizer) -> [Float] {
  Array(UnsafeBufferPointer(start: optimizer.parameters, count: optimizer.layout.elementCount))
}

func makeOptimizer(
  _ test: Case, _ rule: any UpdateRule, _ kind: ExchangeKind, _ world: Communicator, clipNorm: Double? = nil,
  nonFinite: NonFiniteSteps = .reported
) throws -> ShardedOptimizer {
  let optimizer = try ShardedOptimizer(
    communicator: world, layout: test.layout(), rule: rule, exchange: kind, between: between, clipNorm: clipNorm,
    nonFinite: nonFinite)
  try require(
    optimizer.exchangeKind == kind, "asked for \(kind), got \(optimizer.exchangeKind): \(optimizer.exchangeNote ?? "")")
  try optimizer.initializeParameters { arena in for index in 0..<test.count { arena[index] = noise(0, 0, index) } }
  return optimizer
}

/// A buffer of rank zero on all ranks.
func everywhere(_ buffer: AlignedBuffer?, count: Int, _ world: Communicator) throws -> AlignedBuffer {
  let result = try buffer ?? AlignedBuffer(count: count, for: "a copy")
  try world.broadcast(
    UnsafeMutableRawBufferPointer(UnsafeMutableBufferPointer(start: result.pointer, count: count)), root: 0)
  return result
}

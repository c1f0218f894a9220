import CKernels

/// Elements of either storage on 64-byte boundaries, with a guard behind them. They begin as not-a-number, because a
/// result must not rest on what was there.
final class StoredArray {
  let storage: fw_storage
  let count: Int
  let pointer: UnsafeMutableRawPointer
  private static let guardBytes = 64
  private static let guardValue: UInt8 = 0xA5

  init(_ storage: fw_storage = FW_FLOAT32, count: Int) {
    self.storage = storage
    self.count = count
    let bytes = count * (storage == FW_BFLOAT16 ? 2 : 4)
    pointer = UnsafeMutableRawPointer.allocate(byteCount: bytes + Self.guardBytes, alignment: 64)
    pointer.initializeMemory(as: UInt8.self, repeating: 0xFF, count: bytes)
    (pointer + bytes).initializeMemory(as: UInt8.self, repeating: Self.guardValue, count: Self.guardBytes)
  }

  /// Uniform in -scale ..< scale, as rounded to the storage.
  convenience init(_ storage: fw_storage = FW_FLOAT32, count: Int, scale: Float, random: inout SplitMix) {
    self.init(storage, count: count)
    for i in 0..<count { self[i] = Double(scale * random.uniform()) }
  }

  deinit { pointer.deallocate() }

  subscript(index: Int) -> Double {
    get {
      if storage == FW_BFLOAT16 {
        let bits = pointer.load(fromByteOffset: 2 * index, as: UInt16.self)
        return Double(Float(bitPattern: UInt32(bits) << 16))
      }
      return Double(pointer.load(fromByteOffset: 4 * index, as: Float.self))
    }
    set {
      let bits = Float(newValue).bitPattern
      if storage == FW_BFLOAT16 {
        let rounded = UInt16(truncatingIfNeeded: (bits + 0x7FFF + (bits >> 16 & 1)) >> 16)
        pointer.storeBytes(of: rounded, toByteOffset: 2 * index, as: UInt16.self)
      } else {
        pointer.storeBytes(of: bits, toByteOffset: 4 * index, as: UInt32.self)
      }
    }
  }

  var values: [Double] { (0..<count).map { self[$0] } }
  var bytes: [UInt8] {
    Array(UnsafeRawBufferPointer(start: pointer, count: count * (storage == FW_BFLOAT16 ? 2 : 4)))
  }
  var floats: UnsafeMutablePointer<Float> { pointer.assumingMemoryBound(to: Float.self) }
  var isGuardIntact: Bool {
    let end = pointer + count * (storage == FW_BFLOAT16 ? 2 : 4)
    return (0..<Self.guardBytes).allSatisfy { end.load(fromByteOffset: $0, as: UInt8.self) == Self.guardValue }
  }
}

/// The largest |a - b| over the largest |b|; not-a-number if one of them is.
func largestError(_ a: [Double], _ b: [Double]) -> Double {
  guard a.count == b.count, !(a + b).contains(where: \.isNaN) else { return .nan }
  let scale = b.reduce(0) { max($0, abs($1)) }
  let error = zip(a, b).reduce(0) { max($0, abs($1.0 - $1.1)) }
  return scale > 0 ? error / scale : error
}

/// What a fw_dropout keeps of `examples` × `count` elements, times the factor: zero or its scale.
func dropoutFactors(_ dropout: fw_dropout?, examples: Int, count: Int, firstExample: UInt64) -> [Double] {
  var factors = [Float](repeating: 1, count: examples * count)
  guard var dropout else { return factors.map(Double.init) }
  let ones = factors
  fw_dropout_forward(ones, &factors, examples, count, firstExample, false, &dropout)
  return factors.map(Double.init)
}

extension fw_dropout {
  /// Rate 0.3.
  static let some = fw_dropout(seed: 42, step: 7, layer: 3, threshold: 19_661, scale: 65536 / (65536 - 19_661))
}

/// Calls `body` with a pointer to the dropout, or without one.
func withDropout<Result>(_ dropout: fw_dropout?, _ body: (UnsafePointer<fw_dropout>?) -> Result) -> Result {
  guard let dropout else { return body(nil) }
  return withUnsafePointer(to: dropout, body)
}

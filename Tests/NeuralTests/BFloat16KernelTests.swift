import CKernels
import Testing

/// bfloat16 and the element-wise loops over it.
struct BFloat16KernelTests {
  /// Numbers of all sizes, ties, infinities, denormal numbers and what is not a number.
  static let values: [Float] = {
    var random = SplitMix(state: 2)
    var values: [Float] = [
      0, -0.0, 1, -1, .infinity, -.infinity, .nan, -.nan, .greatestFiniteMagnitude, .leastNonzeroMagnitude,
      Float(bitPattern: 0x7F80_0001), Float(bitPattern: 0x7FFF_FFFF), Float(bitPattern: 0xFF80_8000),
      Float(bitPattern: 0x3F80_8000), Float(bitPattern: 0x3F81_8000), Float(bitPattern: 0x3F80_8001),
      Float(bitPattern: 0x3F80_7FFF), Float(bitPattern: 0x7F7F_8000),
    ]
    for _ in 0..<1000 { values.append(Float(bitPattern: UInt32(truncatingIfNeeded: random.next()))) }
    return values
  }()

  @Test(arguments: [0, 1, 15, 16, 17, values.count])
  func conversion(_ count: Int) {
    let values = Array(Self.values.suffix(count))
    var halves = [UInt16](repeating: 0xA5A5, count: count + 1)
    fw_bfloat16_from_float32(values, &halves, count)
    for (value, half) in zip(values, halves) {
      let back = Float(bitPattern: UInt32(half) << 16)
      if value.isNaN {
        #expect(back.isNaN && back.sign == value.sign)
      } else {
        #expect(half == bfloat16(value))
      }
    }
    var floats = [Float](repeating: 7, count: count + 1)
    fw_float32_from_bfloat16(halves, &floats, count)
    #expect(zip(floats, halves).prefix(count).allSatisfy { $0.bitPattern == UInt32($1) << 16 })
    #expect(halves[count] == 0xA5A5 && floats[count] == 7)
  }

  @Test(arguments: [FW_FLOAT32, FW_BFLOAT16], [1, 16, 50])
  func elementwise(_ storage: fw_storage, _ count: Int) {
    let layout = fw_image_layout(examples: 1, channels: count, area: 1, block: count)
    var random = SplitMix(state: 4)
    func tensor() -> ImageTensor {
      let tensor = ImageTensor(layout, storage)
      tensor.fill { _, _, _ in Double(random.uniform()) }
      return tensor
    }
    let (a, b) = (tensor(), tensor())
    func check(_ target: ImageTensor, _ expected: (Int) -> Double, _ name: Comment) {
      let reference = ImageTensor(layout, storage)
      for i in 0..<count { reference[i] = expected(i) }
      #expect(target.contents == reference.contents && target.isGuardIntact, name)
    }
    let target = tensor()
    fw_tensor_add(storage, a.pointer, b.pointer, target.pointer, count)
    check(target, { Double(Float(a[$0]) + Float(b[$0])) }, "sum")
    fw_tensor_scale(storage, a.pointer, 0.3, target.pointer, count)
    check(target, { Double(Float(a[$0]) * 0.3) }, "product")
    fw_tensor_relu(storage, a.pointer, target.pointer, count)
    check(target, { max(a[$0], 0) }, "ReLU")
    fw_tensor_relu_backward(storage, target.pointer, b.pointer, 0.5, target.pointer, count)
    check(target, { a[$0] > 0 ? b[$0] / 2 : 0 }, "gradient of ReLU, in place")
    let copy = a.copy()
    fw_tensor_add(storage, copy.pointer, copy.pointer, copy.pointer, count)
    check(copy, { 2 * a[$0] }, "sum in place")
  }
}

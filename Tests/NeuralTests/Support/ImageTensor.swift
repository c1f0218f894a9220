import CKernels

/// A batch of images in one of the kernels' layouts, read and written by example, channel and pixel. Its padding is
/// zero, and a guard behind it is checked.
final class ImageTensor {
  let layout: fw_image_layout
  let storage: fw_storage
  let count: Int
  let pointer: UnsafeMutableRawPointer
  private static let guardBytes = 64
  private var bytes: Int { count * (storage == FW_FLOAT32 ? 4 : 2) }

  init(_ layout: fw_image_layout, _ storage: fw_storage) {
    self.layout = layout
    self.storage = storage
    var layout = layout
    count = fw_image_count(&layout)
    let bytes = count * (storage == FW_FLOAT32 ? 4 : 2)
    pointer = .allocate(byteCount: bytes + Self.guardBytes, alignment: 64)
    pointer.initializeMemory(as: UInt8.self, repeating: 0, count: bytes)
    (pointer + bytes).initializeMemory(as: UInt8.self, repeating: 0xA5, count: Self.guardBytes)
  }

  deinit { pointer.deallocate() }

  subscript(example: Int, channel: Int, pixel: Int) -> Double {
    get { self[offset(example, channel, pixel)] }
    set { self[offset(example, channel, pixel)] = newValue }
  }

  subscript(offset: Int) -> Double {
    get {
      if storage == FW_FLOAT32 { return Double(pointer.load(fromByteOffset: offset * 4, as: Float.self)) }
      let half = pointer.load(fromByteOffset: offset * 2, as: UInt16.self)
      return Double(Float(bitPattern: UInt32(half) << 16))
    }
    set {
      if storage == FW_FLOAT32 {
        pointer.storeBytes(of: Float(newValue), toByteOffset: offset * 4, as: Float.self)
      } else {
        pointer.storeBytes(of: bfloat16(Float(newValue)), toByteOffset: offset * 2, as: UInt16.self)
      }
    }
  }

  /// Sets every element that is not padding.
  func fill(_ value: (_ example: Int, _ channel: Int, _ pixel: Int) -> Double) {
    for example in 0..<layout.examples {
      for channel in 0..<layout.channels {
        for pixel in 0..<layout.area { self[example, channel, pixel] = value(example, channel, pixel) }
      }
    }
  }

  func copy() -> ImageTensor {
    let other = ImageTensor(layout, storage)
    other.pointer.copyMemory(from: pointer, byteCount: bytes)
    return other
  }

  var contents: [UInt8] { Array(UnsafeRawBufferPointer(start: pointer, count: bytes)) }

  var isGuardIntact: Bool {
    UnsafeRawBufferPointer(start: pointer + bytes, count: Self.guardBytes).allSatisfy { $0 == 0xA5 }
  }

  /// Whether the channels that only fill a block up are zero.
  var isPaddingZero: Bool {
    let blocks = (layout.channels + layout.block - 1) / layout.block
    for example in 0..<layout.examples {
      for channel in layout.channels..<blocks * layout.block {
        for pixel in 0..<layout.area where self[example, channel, pixel] != 0 { return false }
      }
    }
    return true
  }

  private func offset(_ example: Int, _ channel: Int, _ pixel: Int) -> Int {
    let blocks = (layout.channels + layout.block - 1) / layout.block
    return ((example * blocks + channel / layout.block) * layout.area + pixel) * layout.block + channel % layout.block
  }
}

/// The nearest bfloat16, of two equally near the even one, by comparing the two candidates.
func bfloat16(_ value: Float) -> UInt16 {
  let below = UInt16(value.bitPattern >> 16)
  if value.isNaN { return below | 0x40 }
  let rest = value.bitPattern & 0xFFFF
  let up = rest > 0x8000 || (rest == 0x8000 && below & 1 == 1)
  return up ? below + 1 : below
}

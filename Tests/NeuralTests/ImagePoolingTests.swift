import CKernels
import Testing

/// Max-pooling over images in any layout against its definition.
struct ImagePoolingTests {
  struct Case: CustomTestStringConvertible, Sendable {
    var channels = 16
    var height = 6
    var width = 6
    var block = 16
    var window = 2
    var storage = FW_FLOAT32
    var examples = 2

    var layout: fw_image_layout {
      fw_image_layout(examples: examples, channels: channels, area: height * width, block: block)
    }
    var pooled: fw_image_layout {
      fw_image_layout(
        examples: examples, channels: channels, area: (height / window) * (width / window), block: block)
    }
    var testDescription: String {
      "\(channels) × \(height) × \(width) in blocks of \(block), window \(window)"
        + (storage == FW_FLOAT32 ? "" : ", bfloat16")
    }
  }

  static let cases = [FW_FLOAT32, FW_BFLOAT16].flatMap { storage in
    [
      Case(storage: storage), Case(channels: 21, height: 7, width: 5, storage: storage),
      Case(channels: 21, height: 5, width: 8, block: 21, storage: storage),
      Case(channels: 3, height: 7, width: 9, block: 1, storage: storage),
      Case(channels: 32, height: 8, width: 8, window: 4, storage: storage),
      Case(channels: 48, height: 7, width: 11, block: 48, window: 3, storage: storage),
      Case(channels: 16, height: 2, width: 2, storage: storage, examples: 1),
    ]
  }

  @Test(arguments: cases)
  func bothWaysFollowTheDefinition(_ test: Case) {
    var layout = test.layout
    let (source, gradient) = (ImageTensor(layout, test.storage), ImageTensor(layout, test.storage))
    let (output, difference) = (ImageTensor(test.pooled, test.storage), ImageTensor(test.pooled, test.storage))
    var random = SplitMix(state: 9)
    // Few values, so that many windows have several largest elements.
    source.fill { _, _, _ in Double((4 * random.uniform()).rounded()) }
    difference.fill { _, _, _ in Double(random.uniform()) }
    for i in 0..<gradient.count { gradient[i] = .nan }
    var index = [UInt8](repeating: 255, count: output.count)
    fw_image_max_pool_forward(
      &layout, test.width, test.window, test.storage, source.pointer, output.pointer, &index)
    fw_image_max_pool_backward(
      &layout, test.width, test.window, test.storage, difference.pointer, index, gradient.pointer)

    let columns = test.width / test.window
    let expected = ImageTensor(layout, test.storage)
    var isEqual = true
    for example in 0..<test.examples {
      for channel in 0..<test.channels {
        for pixel in 0..<test.pooled.area {
          let corner = pixel / columns * test.window * test.width + pixel % columns * test.window
          let window = (0..<test.window * test.window).map {
            corner + $0 / test.window * test.width + $0 % test.window
          }
          let values = window.map { source[example, channel, $0] }
          guard let largest = values.max(), let first = values.firstIndex(of: largest) else { continue }
          isEqual = isEqual && output[example, channel, pixel] == largest
          expected[example, channel, window[first]] = difference[example, channel, pixel]
        }
      }
    }
    #expect(isEqual)
    #expect((0..<gradient.count).allSatisfy { gradient[$0] == expected[$0] })
    for tensor in [output, gradient] { #expect(tensor.isGuardIntact && tensor.isPaddingZero) }
  }

  @Test(arguments: [16, 3, 1], [FW_FLOAT32, FW_BFLOAT16])
  func notANumberBeatsEveryNumber(_ block: Int, _ storage: fw_storage) {
    let test = Case(channels: 3, height: 2, width: 8, block: block, storage: storage)
    var layout = test.layout
    let (source, output) = (ImageTensor(layout, storage), ImageTensor(test.pooled, storage))
    source.fill { _, _, pixel in Double(pixel) }
    source[0, 1, 2] = .nan
    var index = [UInt8](repeating: 255, count: output.count)
    fw_image_max_pool_forward(&layout, 8, 2, storage, source.pointer, output.pointer, &index)
    #expect(output[0, 1, 1].isNaN && output[0, 0, 1] == 11 && output[0, 1, 0] == 9)
  }
}

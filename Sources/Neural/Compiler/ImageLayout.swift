internal import CKernels

extension MemoryDescriptor {
  /// The layout as kernels of our own see it: images of four dimensions in any of the orders that oneDNN's AVX-512
  /// primitives use, or a matrix of rows; nil for others.
  func imageLayout() throws(OneDNNError) -> fw_image_layout? {
    let shape = self.shape
    if shape.count == 2 {
      guard try self == .plain(shape, precision) else { return nil }
      return fw_image_layout(examples: shape[0], channels: shape[1], area: 1, block: shape[1])
    }
    guard shape.count == 4 else { return nil }
    let block: Int
    if try self == .blocked16(shape, precision) {
      block = 16
    } else if try self == .channelsLast(shape, precision) {
      block = shape[1]
    } else if try self == .plain(shape, precision) {
      block = 1
    } else {
      return nil
    }
    return fw_image_layout(examples: shape[0], channels: shape[1], area: shape[2] * shape[3], block: block)
  }
}

extension MemoryDescriptor {
  /// Whether the same bytes mean the same in both layouts, though oneDNN calls them by different names: with 16
  /// channels, blocks of 16 and channels-last are one.
  func coincides(with other: MemoryDescriptor) throws(OneDNNError) -> Bool {
    guard shape.count == 4, shape[1] == 16, shape == other.shape, precision == other.precision,
      let own = try imageLayout(), let wanted = try other.imageLayout()
    else { return false }
    return own.block == 16 && wanted.block == 16
  }
}

extension Precision {
  /// How kernels of our own call it.
  var storage: fw_storage { self == .bfloat16 ? FW_BFLOAT16 : FW_FLOAT32 }
}

extension PlanCompiler {
  /// The tensor in a layout that kernels of our own can read: as it is where that will do, else channels-last.
  func inImageLayout(_ tensor: Tensor, layer: String) throws -> (tensor: Tensor, layout: fw_image_layout) {
    if let layout = try tensor.descriptor.imageLayout() { return (tensor, layout) }
    let shape = tensor.descriptor.shape
    let precision = tensor.descriptor.precision
    let wanted: MemoryDescriptor =
      shape.count == 4 ? try .channelsLast(shape, precision) : try .plain(shape, precision)
    let copy = try reordered(tensor, to: wanted, layer: layer)
    guard let layout = try wanted.imageLayout() else {
      throw PlanError.model("\(layer): a tensor of \(shape.count) dimensions cannot be normalised")
    }
    return (copy, layout)
  }
}

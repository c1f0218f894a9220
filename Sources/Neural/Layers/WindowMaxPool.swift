internal import CKernels

/// Max-pooling of windows that neither overlap nor leave gaps, in any layout and precision.
///
/// oneDNN 2.6's way back through such a pooling takes two to three times as long as this one.
enum WindowMaxPool {
  /// Whether this pass can do the layer's work.
  static func applies(to layer: MaxPool, _ input: Value, _ compiler: PlanCompiler) throws -> Bool {
    guard compiler.usesFusedKernels, layer.kernel == layer.stride, layer.padding == 0, (2...4).contains(layer.kernel)
    else { return false }
    return try input.descriptor.shape.count == 4 && input.descriptor.imageLayout() != nil
  }

  static func compile(
    _ layer: MaxPool, _ input: Value, _ site: LayerSite, _ compiler: PlanCompiler
  ) throws -> Value {
    guard let layout = try input.descriptor.imageLayout() else { return input }
    let shape = try layer.outputShape(input: input.shape)
    let (pooled, precision) = ([compiler.batchSize] + shape, input.descriptor.precision)
    // A layout of one channel is all three; the test for blocks comes first in both directions.
    let descriptor: MemoryDescriptor
    if try input.descriptor == .blocked16(input.descriptor.shape, precision) {
      descriptor = try .blocked16(pooled, precision)
    } else if layout.block == 1 {
      descriptor = try .plain(pooled, precision)
    } else {
      descriptor = try .channelsLast(pooled, precision)
    }
    let output = Value(
      shape: shape, descriptor: descriptor, buffer: compiler.makeBuffer(descriptor),
      requiresGradient: input.requiresGradient, mayBeOverwritten: true)
    let index = compiler.makeBuffer(byteCount: descriptor.elementCount, isPinned: false)
    let (width, window, storage) = (input.shape[2], layer.kernel, precision.storage)
    let (source, target) = (input.buffer, output.buffer)
    compiler.emit("\(site.label) forward", touching: [source, target, index]) { _ in
      var layout = layout
      fw_image_max_pool_forward(&layout, width, window, storage, source.address, target.address, index.bytes)
    }
    guard input.requiresGradient else { return output }
    compiler.onBackward {
      guard let arrived = try compiler.gradient(of: output, layer: site.label) else { return }
      let aligned = try compiler.reordered(arrived.tensor, to: descriptor, layer: site.label)
      guard let gradient = aligned.buffer else { return }
      if window == 2 && input.acceptsPooledGradient && layer.pointwise?.rectifies == true {
        // Where the ReLU struck the gradient is zero already.
        guard let values = compiler.converted(aligned, to: .float32, layer: site.label).buffer else { return }
        input.pooledGradient = PooledGradient(
          gradient: values, output: values, index: index, isRectified: false, scale: 1)
        return
      }
      let result = compiler.makeBuffer(input.descriptor)
      compiler.emit("\(site.label) backward", touching: [gradient, index, result]) { _ in
        var layout = layout
        fw_image_max_pool_backward(
          &layout, width, window, storage, gradient.address, index.bytes, result.address)
      }
      input.receive(Value.Gradient(descriptor: input.descriptor, buffer: result))
    }
    return output
  }
}

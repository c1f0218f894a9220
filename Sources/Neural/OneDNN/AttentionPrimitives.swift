internal import COneDNN

// What attention is made of.
extension PrimitiveDescriptor {
  /// Products of matrices, one behind the other: [batch, m, k] · [batch, k, n] → [batch, m, n].
  static func matrixProduct(
    _ source: MemoryDescriptor, _ weights: MemoryDescriptor, _ destination: MemoryDescriptor, _ attributes: Attributes,
    _ engine: Engine
  ) throws(OneDNNError) -> PrimitiveDescriptor {
    var operation = dnnl_matmul_desc_t()
    var (source, weights, destination) = (source.raw, weights.raw, destination.raw)
    var bias = dnnl_memory_desc_t()  // of zero dimensions: none
    try check(
      dnnl_matmul_desc_init(&operation, &source, &weights, &bias, &destination), "dnnl_matmul_desc_init")
    return try make(&operation, attributes, engine)
  }

  /// Softmax over the last dimension.
  static func softmaxForward(
    _ data: MemoryDescriptor, _ attributes: Attributes, _ engine: Engine
  ) throws(OneDNNError) -> PrimitiveDescriptor {
    var operation = dnnl_softmax_desc_t()
    let axis = Int32(data.shape.count - 1)
    var data = data.raw
    try check(
      dnnl_softmax_forward_desc_init(&operation, dnnl_forward_training, &data, axis),
      "dnnl_softmax_forward_desc_init")
    return try make(&operation, attributes, engine)
  }

  static func softmaxBackward(
    _ data: MemoryDescriptor, hint: PrimitiveDescriptor, _ attributes: Attributes, _ engine: Engine
  ) throws(OneDNNError) -> PrimitiveDescriptor {
    var operation = dnnl_softmax_desc_t()
    let axis = Int32(data.shape.count - 1)
    var (gradient, data) = (data.raw, data.raw)
    try check(
      dnnl_softmax_backward_desc_init(&operation, &gradient, &data, axis), "dnnl_softmax_backward_desc_init")
    return try make(&operation, attributes, engine, hint: hint)
  }
}

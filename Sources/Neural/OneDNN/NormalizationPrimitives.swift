internal import COneDNN

// Normalisations in training: means and variances are computed, weight and bias are two rows of one array.
extension PrimitiveDescriptor {
  /// - Parameter isRectified: a ReLU is fused, and its mask kept in the workspace.
  static func batchNormalizationForward(
    _ data: MemoryDescriptor, isRectified: Bool, _ attributes: Attributes, _ engine: Engine
  ) throws(OneDNNError) -> PrimitiveDescriptor {
    var operation = dnnl_batch_normalization_desc_t()
    var data = data.raw
    try check(
      dnnl_batch_normalization_forward_desc_init(
        &operation, dnnl_forward_training, &data, 1e-5, batchNormalizationFlags(isRectified)),
      "dnnl_batch_normalization_forward_desc_init")
    return try make(&operation, attributes, engine)
  }

  static func batchNormalizationBackward(
    _ data: MemoryDescriptor, isRectified: Bool, hint: PrimitiveDescriptor, _ attributes: Attributes, _ engine: Engine
  ) throws(OneDNNError) -> PrimitiveDescriptor {
    var operation = dnnl_batch_normalization_desc_t()
    var (gradient, data) = (data.raw, data.raw)
    try check(
      dnnl_batch_normalization_backward_desc_init(
        &operation, dnnl_backward, &gradient, &data, 1e-5, batchNormalizationFlags(isRectified)),
      "dnnl_batch_normalization_backward_desc_init")
    return try make(&operation, attributes, engine, hint: hint)
  }

  /// - Parameters:
  ///   - data: rows × features.
  ///   - statistics: rows.
  static func layerNormalizationForward(
    _ data: MemoryDescriptor, statistics: MemoryDescriptor, _ attributes: Attributes, _ engine: Engine
  ) throws(OneDNNError) -> PrimitiveDescriptor {
    var operation = dnnl_layer_normalization_desc_t()
    var (data, statistics) = (data.raw, statistics.raw)
    try check(
      dnnl_layer_normalization_forward_desc_init(
        &operation, dnnl_forward_training, &data, &statistics, 1e-5, UInt32(dnnl_use_scaleshift.rawValue)),
      "dnnl_layer_normalization_forward_desc_init")
    return try make(&operation, attributes, engine)
  }

  static func layerNormalizationBackward(
    _ data: MemoryDescriptor, statistics: MemoryDescriptor, hint: PrimitiveDescriptor, _ attributes: Attributes,
    _ engine: Engine
  ) throws(OneDNNError) -> PrimitiveDescriptor {
    var operation = dnnl_layer_normalization_desc_t()
    var (gradient, data, statistics) = (data.raw, data.raw, statistics.raw)
    try check(
      dnnl_layer_normalization_backward_desc_init(
        &operation, dnnl_backward, &gradient, &data, &statistics, 1e-5, UInt32(dnnl_use_scaleshift.rawValue)),
      "dnnl_layer_normalization_backward_desc_init")
    return try make(&operation, attributes, engine, hint: hint)
  }

  private static func batchNormalizationFlags(_ isRectified: Bool) -> UInt32 {
    UInt32(dnnl_use_scaleshift.rawValue) | (isRectified ? UInt32(dnnl_fuse_norm_relu.rawValue) : 0)
  }
}

internal import COneDNN

// Primitive descriptors of the operations that plans are made of, by oneDNN 2's two calls: an operation descriptor is
// filled in, then an implementation is asked for. (oneDNN 3 does both in one call of another name: this file, its
// neighbours of single operations and MemoryDescriptor.swift are what would have a twin.)

/// The algorithm of one convolution primitive.
enum ConvolutionKernel: String, CaseIterable {
  case direct, winograd

  fileprivate var algorithm: dnnl_alg_kind_t {
    self == .winograd ? dnnl_convolution_winograd : dnnl_convolution_direct
  }
}

/// Height and width of a window's step and its symmetric zero padding.
struct WindowGeometry: Hashable {
  var kernel: [Int]
  var stride: [Int]
  var padding: [Int]

  fileprivate var kernelDimensions: [dnnl_dim_t] { kernel.map { dnnl_dim_t($0) } }
  fileprivate var strideDimensions: [dnnl_dim_t] { stride.map { dnnl_dim_t($0) } }
  fileprivate var paddingDimensions: [dnnl_dim_t] { padding.map { dnnl_dim_t($0) } }
}

extension PrimitiveDescriptor {
  /// Asks for an implementation of an operation descriptor of any kind.
  static func make(
    _ operation: UnsafeRawPointer, _ attributes: Attributes, _ engine: Engine, hint: PrimitiveDescriptor? = nil
  ) throws(OneDNNError) -> PrimitiveDescriptor {
    var handle: dnnl_primitive_desc_t?
    try check(
      dnnl_primitive_desc_create(&handle, operation, attributes.handle, engine.handle, hint?.handle),
      "dnnl_primitive_desc_create")
    return PrimitiveDescriptor(owning: try created(handle, "dnnl_primitive_desc_create"), engine)
  }

  static func convolutionForward(
    _ kernel: ConvolutionKernel, source: MemoryDescriptor, weights: MemoryDescriptor, bias: MemoryDescriptor?,
    destination: MemoryDescriptor, _ geometry: WindowGeometry, _ attributes: Attributes, _ engine: Engine
  ) throws(OneDNNError) -> PrimitiveDescriptor {
    var operation = dnnl_convolution_desc_t()
    var (source, weights, destination) = (source.raw, weights.raw, destination.raw)
    var bias = bias?.raw ?? dnnl_memory_desc_t()  // a descriptor of zero dimensions means: no bias
    try check(
      dnnl_convolution_forward_desc_init(
        &operation, dnnl_forward_training, kernel.algorithm, &source, &weights, &bias, &destination,
        geometry.strideDimensions, geometry.paddingDimensions, geometry.paddingDimensions),
      "dnnl_convolution_forward_desc_init")
    return try make(&operation, attributes, engine)
  }

  static func convolutionBackwardData(
    _ kernel: ConvolutionKernel, sourceGradient: MemoryDescriptor, weights: MemoryDescriptor,
    destinationGradient: MemoryDescriptor, _ geometry: WindowGeometry, hint: PrimitiveDescriptor,
    _ attributes: Attributes, _ engine: Engine
  ) throws(OneDNNError) -> PrimitiveDescriptor {
    var operation = dnnl_convolution_desc_t()
    var (source, weights, destination) = (sourceGradient.raw, weights.raw, destinationGradient.raw)
    try check(
      dnnl_convolution_backward_data_desc_init(
        &operation, kernel.algorithm, &source, &weights, &destination,
        geometry.strideDimensions, geometry.paddingDimensions, geometry.paddingDimensions),
      "dnnl_convolution_backward_data_desc_init")
    return try make(&operation, attributes, engine, hint: hint)
  }

  static func convolutionBackwardWeights(
    _ kernel: ConvolutionKernel, source: MemoryDescriptor, weightsGradient: MemoryDescriptor,
    biasGradient: MemoryDescriptor?, destinationGradient: MemoryDescriptor, _ geometry: WindowGeometry,
    hint: PrimitiveDescriptor, _ attributes: Attributes, _ engine: Engine
  ) throws(OneDNNError) -> PrimitiveDescriptor {
    var operation = dnnl_convolution_desc_t()
    var (source, weights, destination) = (source.raw, weightsGradient.raw, destinationGradient.raw)
    var bias = biasGradient?.raw ?? dnnl_memory_desc_t()
    try check(
      dnnl_convolution_backward_weights_desc_init(
        &operation, kernel.algorithm, &source, &weights, &bias, &destination,
        geometry.strideDimensions, geometry.paddingDimensions, geometry.paddingDimensions),
      "dnnl_convolution_backward_weights_desc_init")
    return try make(&operation, attributes, engine, hint: hint)
  }

  static func innerProductForward(
    source: MemoryDescriptor, weights: MemoryDescriptor, bias: MemoryDescriptor?, destination: MemoryDescriptor,
    _ attributes: Attributes, _ engine: Engine
  ) throws(OneDNNError) -> PrimitiveDescriptor {
    var operation = dnnl_inner_product_desc_t()
    var (source, weights, destination) = (source.raw, weights.raw, destination.raw)
    var bias = bias?.raw ?? dnnl_memory_desc_t()
    try check(
      dnnl_inner_product_forward_desc_init(
        &operation, dnnl_forward_training, &source, &weights, &bias, &destination),
      "dnnl_inner_product_forward_desc_init")
    return try make(&operation, attributes, engine)
  }

  static func innerProductBackwardData(
    sourceGradient: MemoryDescriptor, weights: MemoryDescriptor, destinationGradient: MemoryDescriptor,
    hint: PrimitiveDescriptor, _ attributes: Attributes, _ engine: Engine
  ) throws(OneDNNError) -> PrimitiveDescriptor {
    var operation = dnnl_inner_product_desc_t()
    var (source, weights, destination) = (sourceGradient.raw, weights.raw, destinationGradient.raw)
    try check(
      dnnl_inner_product_backward_data_desc_init(&operation, &source, &weights, &destination),
      "dnnl_inner_product_backward_data_desc_init")
    return try make(&operation, attributes, engine, hint: hint)
  }

  static func innerProductBackwardWeights(
    source: MemoryDescriptor, weightsGradient: MemoryDescriptor, biasGradient: MemoryDescriptor?,
    destinationGradient: MemoryDescriptor, hint: PrimitiveDescriptor, _ attributes: Attributes, _ engine: Engine
  ) throws(OneDNNError) -> PrimitiveDescriptor {
    var operation = dnnl_inner_product_desc_t()
    var (source, weights, destination) = (source.raw, weightsGradient.raw, destinationGradient.raw)
    var bias = biasGradient?.raw ?? dnnl_memory_desc_t()
    try check(
      dnnl_inner_product_backward_weights_desc_init(&operation, &source, &weights, &bias, &destination),
      "dnnl_inner_product_backward_weights_desc_init")
    return try make(&operation, attributes, engine, hint: hint)
  }

  static func maxPoolingForward(
    source: MemoryDescriptor, destination: MemoryDescriptor, _ geometry: WindowGeometry, _ attributes: Attributes,
    _ engine: Engine
  ) throws(OneDNNError) -> PrimitiveDescriptor {
    try poolingForward(dnnl_pooling_max, source, destination, geometry, attributes, engine)
  }

  static func maxPoolingBackward(
    sourceGradient: MemoryDescriptor, destinationGradient: MemoryDescriptor, _ geometry: WindowGeometry,
    hint: PrimitiveDescriptor, _ attributes: Attributes, _ engine: Engine
  ) throws(OneDNNError) -> PrimitiveDescriptor {
    try poolingBackward(
      dnnl_pooling_max, sourceGradient, destinationGradient, geometry, hint: hint, attributes, engine)
  }

  /// Padding does not count.
  static func averagePoolingForward(
    source: MemoryDescriptor, destination: MemoryDescriptor, _ geometry: WindowGeometry, _ attributes: Attributes,
    _ engine: Engine
  ) throws(OneDNNError) -> PrimitiveDescriptor {
    try poolingForward(dnnl_pooling_avg_exclude_padding, source, destination, geometry, attributes, engine)
  }

  static func averagePoolingBackward(
    sourceGradient: MemoryDescriptor, destinationGradient: MemoryDescriptor, _ geometry: WindowGeometry,
    hint: PrimitiveDescriptor, _ attributes: Attributes, _ engine: Engine
  ) throws(OneDNNError) -> PrimitiveDescriptor {
    try poolingBackward(
      dnnl_pooling_avg_exclude_padding, sourceGradient, destinationGradient, geometry, hint: hint, attributes, engine)
  }

  private static func poolingForward(
    _ algorithm: dnnl_alg_kind_t, _ source: MemoryDescriptor, _ destination: MemoryDescriptor,
    _ geometry: WindowGeometry, _ attributes: Attributes, _ engine: Engine
  ) throws(OneDNNError) -> PrimitiveDescriptor {
    var operation = dnnl_pooling_desc_t()
    var (source, destination) = (source.raw, destination.raw)
    try check(
      dnnl_pooling_forward_desc_init(
        &operation, dnnl_forward_training, algorithm, &source, &destination, geometry.strideDimensions,
        geometry.kernelDimensions, geometry.paddingDimensions, geometry.paddingDimensions),
      "dnnl_pooling_forward_desc_init")
    return try make(&operation, attributes, engine)
  }

  private static func poolingBackward(
    _ algorithm: dnnl_alg_kind_t, _ sourceGradient: MemoryDescriptor, _ destinationGradient: MemoryDescriptor,
    _ geometry: WindowGeometry, hint: PrimitiveDescriptor, _ attributes: Attributes, _ engine: Engine
  ) throws(OneDNNError) -> PrimitiveDescriptor {
    var operation = dnnl_pooling_desc_t()
    var (source, destination) = (sourceGradient.raw, destinationGradient.raw)
    try check(
      dnnl_pooling_backward_desc_init(
        &operation, algorithm, &source, &destination, geometry.strideDimensions, geometry.kernelDimensions,
        geometry.paddingDimensions, geometry.paddingDimensions),
      "dnnl_pooling_backward_desc_init")
    return try make(&operation, attributes, engine, hint: hint)
  }

  /// A copy from one layout of the same logical shape to another.
  static func reorder(
    from source: MemoryDescriptor, to destination: MemoryDescriptor, _ attributes: Attributes, _ engine: Engine
  ) throws(OneDNNError) -> PrimitiveDescriptor {
    var (source, destination) = (source.raw, destination.raw)
    var handle: dnnl_primitive_desc_t?
    try check(
      dnnl_reorder_primitive_desc_create(
        &handle, &source, engine.handle, &destination, engine.handle, attributes.handle),
      "dnnl_reorder_primitive_desc_create")
    return PrimitiveDescriptor(owning: try created(handle, "dnnl_reorder_primitive_desc_create"), engine)
  }
}

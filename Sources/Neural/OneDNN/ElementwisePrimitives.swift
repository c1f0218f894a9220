internal import COneDNN

// Sums and activations, element by element; all tensors of an operation have one layout.
extension PrimitiveDescriptor {
  /// The sum of two tensors; attributes may fuse a ReLU behind it.
  static func sum(
    _ data: MemoryDescriptor, _ attributes: Attributes, _ engine: Engine
  ) throws(OneDNNError) -> PrimitiveDescriptor {
    var operation = dnnl_binary_desc_t()
    var (first, second, destination) = (data.raw, data.raw, data.raw)
    try check(
      dnnl_binary_desc_init(&operation, dnnl_binary_add, &first, &second, &destination), "dnnl_binary_desc_init")
    return try make(&operation, attributes, engine)
  }

  static func activationForward(
    _ activation: Activation, _ data: MemoryDescriptor, _ attributes: Attributes, _ engine: Engine
  ) throws(OneDNNError) -> PrimitiveDescriptor {
    var operation = dnnl_eltwise_desc_t()
    var data = data.raw
    try check(
      dnnl_eltwise_forward_desc_init(
        &operation, dnnl_forward_training, activation.forwardAlgorithm, &data, activation.alpha, 0),
      "dnnl_eltwise_forward_desc_init")
    return try make(&operation, attributes, engine)
  }

  /// The backward pass reads what went in, but that of a ReLU what came out.
  static func activationBackward(
    _ activation: Activation, _ data: MemoryDescriptor, hint: PrimitiveDescriptor, _ attributes: Attributes,
    _ engine: Engine
  ) throws(OneDNNError) -> PrimitiveDescriptor {
    var operation = dnnl_eltwise_desc_t()
    var (gradient, data) = (data.raw, data.raw)
    try check(
      dnnl_eltwise_backward_desc_init(
        &operation, activation.backwardAlgorithm, &gradient, &data, activation.alpha, 0),
      "dnnl_eltwise_backward_desc_init")
    return try make(&operation, attributes, engine, hint: hint)
  }
}

extension Activation {
  fileprivate var forwardAlgorithm: dnnl_alg_kind_t {
    switch self {
    case .relu: dnnl_eltwise_relu
    case .geluTanh: dnnl_eltwise_gelu_tanh
    case .gelu: dnnl_eltwise_gelu_erf
    case .silu: dnnl_eltwise_swish
    }
  }

  fileprivate var backwardAlgorithm: dnnl_alg_kind_t {
    self == .relu ? dnnl_eltwise_relu_use_dst_for_bwd : forwardAlgorithm
  }

  /// The slope of a ReLU's negative side, or the factor inside swish's sigmoid; others have no parameter.
  fileprivate var alpha: Float { self == .silu ? 1 : 0 }
}

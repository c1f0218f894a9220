internal import COneDNN

/// A description of an operation for which oneDNN has chosen an implementation. Owns the `dnnl_primitive_desc_t`.
final class PrimitiveDescriptor {
  let handle: dnnl_primitive_desc_t
  private let engine: Engine

  /// Takes over a handle that was just created.
  init(owning handle: dnnl_primitive_desc_t, _ engine: Engine) {
    self.handle = handle
    self.engine = engine
  }

  deinit { dnnl_primitive_desc_destroy(handle) }

  /// The name of the chosen implementation, such as `jit_wino_4x3:avx512_core`.
  func implementation() throws(OneDNNError) -> String {
    var name: UnsafePointer<CChar>?
    try check(
      dnnl_primitive_desc_query(handle, dnnl_query_impl_info_str, 0, &name),
      "dnnl_primitive_desc_query(impl_info_str)")
    return name.map { String(cString: $0) } ?? "unknown"
  }

  var source: MemoryDescriptor { descriptor(dnnl_query_src_md) }
  var weights: MemoryDescriptor { descriptor(dnnl_query_weights_md) }
  var destination: MemoryDescriptor { descriptor(dnnl_query_dst_md) }
  var sourceGradient: MemoryDescriptor { descriptor(dnnl_query_diff_src_md) }
  var weightsGradient: MemoryDescriptor { descriptor(dnnl_query_diff_weights_md) }
  var destinationGradient: MemoryDescriptor { descriptor(dnnl_query_diff_dst_md) }
  var workspace: MemoryDescriptor { descriptor(dnnl_query_workspace_md) }
  var scratchpad: MemoryDescriptor { descriptor(dnnl_query_scratchpad_md) }

  /// A descriptor of nothing where the operation has no such argument.
  private func descriptor(_ query: dnnl_query_t) -> MemoryDescriptor {
    MemoryDescriptor(dnnl_primitive_desc_query_md(handle, query, 0)?.pointee ?? dnnl_memory_desc_t())
  }
}

/// Which argument of a primitive a memory object is.
enum Argument {
  case source, secondSource, weights, bias, destination
  case mean, variance, scaleShift, scaleShiftGradient
  case sourceGradient, weightsGradient, biasGradient, destinationGradient
  case workspace, scratchpad

  var index: Int32 {
    switch self {
    case .source: DNNL_ARG_SRC_0
    case .secondSource: DNNL_ARG_SRC_1
    case .weights: DNNL_ARG_WEIGHTS_0
    case .bias: DNNL_ARG_BIAS
    case .destination: DNNL_ARG_DST_0
    case .mean: DNNL_ARG_MEAN
    case .variance: DNNL_ARG_VARIANCE
    case .scaleShift: DNNL_ARG_WEIGHTS_0
    case .scaleShiftGradient: DNNL_ARG_DIFF_WEIGHTS_0
    case .sourceGradient: DNNL_ARG_DIFF_SRC_0
    case .weightsGradient: DNNL_ARG_DIFF_WEIGHTS_0
    case .biasGradient: DNNL_ARG_DIFF_BIAS
    case .destinationGradient: DNNL_ARG_DIFF_DST_0
    case .workspace: DNNL_ARG_WORKSPACE
    case .scratchpad: DNNL_ARG_SCRATCHPAD
    }
  }
}

/// A generated kernel together with its arguments, so that running it is one call without any allocation of ours.
final class Primitive {
  private let handle: dnnl_primitive_t
  private let descriptor: PrimitiveDescriptor
  private let arguments: UnsafeMutablePointer<dnnl_exec_arg_t>  // owned; written once, below
  private let argumentCount: Int32
  private let memories: [Memory]  // kept alive for `arguments`

  init(_ descriptor: PrimitiveDescriptor, _ arguments: [(argument: Argument, memory: Memory)]) throws(OneDNNError) {
    var handle: dnnl_primitive_t?
    try check(dnnl_primitive_create(&handle, descriptor.handle), "dnnl_primitive_create")
    self.handle = try created(handle, "dnnl_primitive_create")
    self.descriptor = descriptor
    self.arguments = .allocate(capacity: max(1, arguments.count))
    for (index, argument) in arguments.enumerated() {
      (self.arguments + index).initialize(
        to: dnnl_exec_arg_t(arg: argument.argument.index, memory: argument.memory.handle))
    }
    argumentCount = Int32(arguments.count)
    memories = arguments.map(\.memory)
  }

  deinit {
    dnnl_primitive_destroy(handle)
    arguments.deallocate()  // dnnl_exec_arg_t is trivial
  }

  /// Runs the kernel; its results are complete on return (the CPU stream is synchronous).
  func execute(_ stream: Stream) throws(OneDNNError) {
    try check(dnnl_primitive_execute(handle, stream.handle, argumentCount, arguments), "dnnl_primitive_execute")
  }
}

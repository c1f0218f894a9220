// Parameters at the edge: initial values, and the canonical layout of checkpoints and tests.
extension Plan {
  /// Fills an arena with the initial values that each layer asks for, by default PyTorch's. Element i of a tensor, in
  /// canonical order, is a function of (seed, tensor's number, i) only, so it depends neither on the physical layout
  /// nor on the machine. Padding becomes zero.
  ///
  /// - Parameters:
  ///   - seed: key of the streams.
  ///   - arena: `layout.count` floats, 64-byte aligned.
  /// - Throws: ``PlanError`` for lack of memory; ``OneDNNError``.
  public func initializeParameters(seed: UInt64, into arena: UnsafeMutablePointer<Float>) throws {
    arena.update(repeating: 0, count: layout.count)
    for (index, tensor) in layout.tensors.enumerated() {
      let block = try MemoryBlock(
        byteCount: MemoryBlock.byteCount(ofFloats: tensor.shape), alignment: 64,
        for: "initial values of \(tensor.name)")
      try withExtendedLifetime(block) {
        let values = block.address.bindMemory(to: Float.self, capacity: tensor.elementCount)
        tensor.initializer.fill(values, of: tensor, stream: UInt32(truncatingIfNeeded: index), seed: seed)
        try readCanonical(tensor: index, from: values, to: arena)
      }
    }
  }

  /// Sets one parameter in an arena.
  ///
  /// - Parameters:
  ///   - name: the parameter's name.
  ///   - values: its elements in canonical order.
  ///   - arena: `layout.count` floats.
  /// - Throws: ``PlanError`` if there is no such parameter, or it has another number of elements; ``OneDNNError``.
  public func setParameter(_ name: String, to values: [Float], in arena: UnsafeMutablePointer<Float>) throws {
    guard let index = layout.tensors.firstIndex(where: { $0.name == name }) else {
      throw PlanError.value(
        name: "parameter", received: name, expected: layout.tensors.map(\.name).joined(separator: ", "))
    }
    guard values.count == layout.tensors[index].elementCount else {
      throw PlanError.value(
        name: "values of \(name)", received: "\(values.count) numbers",
        expected: "\(layout.tensors[index].elementCount)")
    }
    try values.withUnsafeBufferPointer { values in
      guard let base = values.baseAddress else { return }
      try readCanonical(tensor: index, from: base, to: arena)
    }
  }

  /// Copies a tensor out of an arena in the physical layout (parameters, or optimizer state of the same layout).
  /// - Parameters:
  ///   - tensor: index into `layout.tensors`.
  ///   - arena: `layout.count` floats.
  ///   - canonical: receives `elementCount` floats in row-major order.
  /// - Throws: ``PlanError`` for an index out of range or lack of memory; ``OneDNNError``.
  public func writeCanonical(
    tensor: Int, from arena: UnsafePointer<Float>, to canonical: UnsafeMutablePointer<Float>
  ) throws {
    let parameter = try parameter(tensor)
    // The reorder only reads its source; oneDNN's memory objects know no constant addresses.
    let source = UnsafeMutablePointer(mutating: arena) + parameter.offset
    try copy(from: (parameter.physical, source), to: (parameter.plain, canonical))
  }

  /// Copies a tensor into an arena in the physical layout; the padding inside the tensor becomes zero.
  /// - Parameters:
  ///   - tensor: index into `layout.tensors`.
  ///   - canonical: `elementCount` floats in row-major order.
  ///   - arena: `layout.count` floats.
  /// - Throws: ``PlanError`` for an index out of range or lack of memory; ``OneDNNError``.
  public func readCanonical(
    tensor: Int, from canonical: UnsafePointer<Float>, to arena: UnsafeMutablePointer<Float>
  ) throws {
    let parameter = try parameter(tensor)
    let source = UnsafeMutablePointer(mutating: canonical)
    try copy(from: (parameter.plain, source), to: (parameter.physical, arena + parameter.offset))
  }

  private func parameter(_ index: Int) throws(PlanError) -> PlanCompiler.CompiledParameter {
    guard program.parameters.indices.contains(index) else {
      throw .value(
        name: "tensor", received: "\(index)", expected: "an index from 0 to \(program.parameters.count - 1)")
    }
    return program.parameters[index]
  }

  private func copy(
    from source: (descriptor: MemoryDescriptor, address: UnsafeMutablePointer<Float>),
    to destination: (descriptor: MemoryDescriptor, address: UnsafeMutablePointer<Float>)
  ) throws {
    if source.descriptor == destination.descriptor {
      destination.address.update(from: source.address, count: source.descriptor.elementCount)
      return
    }
    let engine = program.engine
    let descriptor = try PrimitiveDescriptor.reorder(
      from: source.descriptor, to: destination.descriptor, try Attributes(), engine)
    var arguments: [(argument: Argument, memory: Memory)] = [
      (.source, try Memory(source.descriptor, engine, address: UnsafeMutableRawPointer(source.address))),
      (.destination, try Memory(destination.descriptor, engine, address: UnsafeMutableRawPointer(destination.address))),
    ]
    let scratchpad = descriptor.scratchpad
    var scratch: MemoryBlock?
    if !scratchpad.isEmpty {
      let block = try MemoryBlock(
        byteCount: scratchpad.byteCount, alignment: 64, for: "scratch space to copy a tensor into another layout")
      scratch = block
      arguments.append((.scratchpad, try Memory(scratchpad, engine, address: block.address)))
    }
    try withExtendedLifetime(scratch) { try Primitive(descriptor, arguments).execute(program.stream) }
  }
}

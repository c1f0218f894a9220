/// Checks a network from front to back, before anything is created.
enum ModelCheck {
  /// The layers with their places, all of them known to take what arrives at them.
  /// - Throws: ``PlanError``.
  static func nodes(of model: Sequential, batchSize: Int) throws(PlanError) -> [Node] {
    // oneDNN's kernels count in 32 bits.
    guard batchSize >= 1 && batchSize <= Int32.max else {
      throw .value(name: "batchSize", received: "\(batchSize)", expected: "a number from 1 to \(Int32.max)")
    }
    guard model.input.count == 1 || model.input.count == 3, model.input.allSatisfy({ $0 >= 1 }) else {
      throw .model("input shape \(model.input) must be [channels, height, width] or [features], each at least 1")
    }
    try checkMemory([batchSize] + model.input, for: "the input of a batch of \(batchSize) examples")
    var nodes: [Node] = []
    var shape = model.input
    var names: Set<String> = []
    for (index, layer) in model.layers.enumerated() {
      let label = layer.name ?? "\(layer.kind) \(index)"
      let description = "layer \(index) (\(layer.kind)\(layer.name.map { " \($0)" } ?? ""))"
      guard let compilable = layer as? any CompilableLayer else {
        throw .model("\(description): this kind of layer cannot be compiled; use the layers of the Neural module")
      }
      if let dropout = layer as? Dropout, !(dropout.probability >= 0 && dropout.probability < 1) {
        throw .value(
          name: "\(description): probability", received: "\(dropout.probability)",
          expected: "a number of at least 0 and below 1")
      }
      let output: [Int]
      do {
        output = try layer.outputShape(input: shape)
      } catch {
        throw .shape(layer: description, received: shape, expected: error.expected)
      }
      try checkMemory([batchSize] + output, for: "\(description), the output for a batch of \(batchSize) examples")
      for parameter in layer.parameters(input: shape) {
        guard names.insert(parameter.name).inserted else {
          throw .model("\(description): a parameter \(parameter.name) exists already; give the layer another name")
        }
        try checkMemory(parameter.shape, for: "\(description), the parameter \(parameter.name)")
      }
      nodes.append(Node(layer: compilable, site: LayerSite(index: index, label: label)))
      shape = output
    }
    guard !names.isEmpty else { throw .model("there is no layer with parameters, so nothing to train") }
    guard shape.count == 1, shape[0] >= 2 else {
      throw .model(
        "the last layer gives a shape of \(shape.map(String.init).joined(separator: " × ")) per example, expected one"
          + " number for each of at least 2 classes (end with Dense(\"…\", classes))")
    }
    return nodes
  }

  /// Refuses a tensor that alone needs more than the machine's memory. What is computed from the sizes of tensors that
  /// pass, such as the places of all of them in one block, is far from overflowing.
  private static func checkMemory(_ shape: [Int], for purpose: String) throws(PlanError) {
    try MemoryBlock.check(MemoryBlock.byteCount(ofFloats: shape), for: purpose)
  }
}

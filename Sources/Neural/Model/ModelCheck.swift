/// Checks a network from front to back, before anything is created.
struct ModelCheck {
  private let batchSize: Int
  private var names: Set<String> = []
  private var layerCount = 0

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
    var check = ModelCheck(batchSize: batchSize)
    try check.checkMemory([batchSize] + model.input, for: "the input of a batch of \(batchSize) examples")
    let (nodes, shape) = try check.nodes(model.layers, input: model.input, inside: "")
    guard !check.names.isEmpty else { throw .model("there is no layer with parameters, so nothing to train") }
    guard shape.count == 1, shape[0] >= 2 else {
      throw .model(
        "the last layer gives a shape of \(shape.map(String.init).joined(separator: " × ")) per example, expected one"
          + " number for each of at least 2 classes (end with Dense(\"…\", classes))")
    }
    // Streams of dropout masks tell layers apart by 12 bits.
    guard check.layerCount <= 4096 else {
      throw .model("there are \(check.layerCount) layers, expected at most 4096")
    }
    return nodes
  }

  private init(batchSize: Int) { self.batchSize = batchSize }

  /// - Parameter place: the layer that these are inside of, for messages; empty for the network's own.
  private mutating func nodes(
    _ layers: [any Layer], input: [Int], inside place: String
  ) throws(PlanError) -> (nodes: [Node], shape: [Int]) {
    var checked: [Node] = []
    var shape = input
    for (position, layer) in layers.enumerated() {
      let index = layerCount
      layerCount += 1
      let label = layer.name ?? "\(layer.kind) \(index)"
      let description = "\(place)layer \(position) (\(layer.kind)\(layer.name.map { " \($0)" } ?? ""))"
      let output: [Int]
      do {
        output = try layer.outputShape(input: shape)
      } catch {
        // A block is checked layer by layer, so that the message names the one at fault.
        if let residual = layer as? Residual { try checkBranches(residual, input: shape, description) }
        throw .shape(layer: description, received: shape, expected: error.expected)
      }
      let compilable: any CompilableLayer
      if let residual = layer as? Residual {
        compilable = CompilableResidual(
          declaration: residual, body: try nodes(residual.body, input: shape, inside: "\(description), body, ").nodes,
          shortcut: try nodes(residual.shortcut, input: shape, inside: "\(description), shortcut, ").nodes)
      } else if let known = layer as? any CompilableLayer {
        compilable = known
        try known.check(description)
        for parameter in layer.parameters(input: shape) { try add(parameter, of: description) }
      } else {
        throw .model("\(description): this kind of layer cannot be compiled; use the layers of the Neural module")
      }
      try checkMemory([batchSize] + output, for: "\(description), the output for a batch of \(batchSize) examples")
      checked.append(Node(layer: compilable, site: LayerSite(index: index, label: label)))
      shape = output
    }
    return (checked, shape)
  }

  private func checkBranches(_ residual: Residual, input: [Int], _ description: String) throws(PlanError) {
    var copy = self
    _ = try copy.nodes(residual.body, input: input, inside: "\(description), body, ")
    _ = try copy.nodes(residual.shortcut, input: input, inside: "\(description), shortcut, ")
  }

  private mutating func add(_ parameter: ParameterSpecification, of description: String) throws(PlanError) {
    guard names.insert(parameter.name).inserted else {
      throw .model("\(description): a parameter \(parameter.name) exists already; give the layer another name")
    }
    guard parameter.initializer.isPossible else {
      throw .value(
        name: "\(description): initializer of \(parameter.name)", received: "\(parameter.initializer)",
        expected: "finite numbers, and no negative bound or standard deviation")
    }
    try checkMemory(parameter.shape, for: "\(description), the parameter \(parameter.name)")
  }

  /// Refuses a tensor that alone needs more than the machine's memory. What is computed from the sizes of tensors that
  /// pass, such as the places of all of them in one block, is far from overflowing.
  private func checkMemory(_ shape: [Int], for purpose: String) throws(PlanError) {
    try MemoryBlock.check(MemoryBlock.byteCount(ofFloats: shape), for: purpose)
  }
}

/// Checks a network from front to back, before anything is created.
enum ModelCheck {
  /// The layers with their places, all of them known to take what arrives at them.
  /// - Throws: ``PlanError``.
  static func nodes(of model: Sequential, batchSize: Int) throws(PlanError) -> [Node] {
    guard batchSize >= 1 else {
      throw .value(name: "batchSize", received: "\(batchSize)", expected: "at least 1")
    }
    guard model.input.count == 1 || model.input.count == 3, model.input.allSatisfy({ $0 >= 1 }) else {
      throw .model("input shape \(model.input) must be [channels, height, width] or [features], each at least 1")
    }
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
      for parameter in layer.parameters(input: shape) where !names.insert(parameter.name).inserted {
        throw .model("\(description): a parameter \(parameter.name) exists already; give the layer another name")
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
}

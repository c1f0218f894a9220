/// A layer that plans can compile.
protocol CompilableLayer: Layer {
  /// Emits the forward operations for `input`, and records the backward ones.
  /// - Parameter site: where in the network the layer stands.
  func compile(_ input: Value, _ site: LayerSite, _ compiler: PlanCompiler) throws -> Value
}

/// Where in a network a layer stands.
struct LayerSite {
  /// Position in the declaration, from 0: part of the key of a dropout stream.
  let index: Int
  /// The layer's name, or kind and position: `conv1`, `MaxPool 5`.
  let label: String
}

/// A layer as it is about to be compiled.
struct Node {
  var layer: any CompilableLayer
  var site: LayerSite
}

/// Rewrites the sequence of layers into an equal one that moves less memory.
enum Fusion {
  static func apply(_ nodes: [Node], options: PlanOptions) -> [Node] {
    var nodes = nodes.compactMap { dropoutResolved($0, options) }
    swapReLUAndMaxPool(&nodes)
    return fusePointwiseIntoMaxPool(fuseReLU(nodes))
  }

  /// Dropout becomes the pointwise layer with its effective probability; one that drops nothing disappears.
  private static func dropoutResolved(_ node: Node, _ options: PlanOptions) -> Node? {
    guard let dropout = node.layer as? Dropout else { return node }
    let pointwise = Pointwise(rectifies: false, dropProbability: dropout.probability * options.dropoutScale)
    return pointwise.dropThreshold == 0 ? nil : Node(layer: pointwise, site: node.site)
  }

  /// max(ReLU(a), ReLU(b)) = ReLU(max(a, b)), and so are the gradients: the window's largest element gets it where it
  /// is positive. A 2×2 pooling leaves a quarter of the elements to rectify.
  private static func swapReLUAndMaxPool(_ nodes: inout [Node]) {
    guard nodes.count > 1 else { return }
    for index in 1..<nodes.count where nodes[index - 1].layer is ReLU && nodes[index].layer is MaxPool {
      nodes.swapAt(index - 1, index)
    }
  }

  /// A ReLU goes into the same pass as a dropout behind it, or into the convolution or dense layer before it.
  private static func fuseReLU(_ nodes: [Node]) -> [Node] {
    var fused: [Node] = []
    var index = 0
    while index < nodes.count {
      let node = nodes[index]
      index += 1
      guard node.layer is ReLU else {
        fused.append(node)
        continue
      }
      if index < nodes.count, let next = nodes[index].layer as? Pointwise {
        fused.append(
          Node(
            layer: Pointwise(rectifies: true, dropProbability: next.dropProbability), site: nodes[index].site))
        index += 1
      } else if let last = fused.last, let rectified = (last.layer as? any Rectifiable)?.rectified() {
        fused[fused.count - 1].layer = rectified
      } else {
        fused.append(Node(layer: Pointwise(rectifies: true, dropProbability: 0), site: node.site))
      }
    }
    return fused
  }

  /// What is done to each element of a pooling's output is done while it is at hand. A dropout without a ReLU stays on
  /// its own: its mask cannot be read off the output. A pooling takes one such layer; a second ReLU behind a dropout
  /// stays where it is.
  private static func fusePointwiseIntoMaxPool(_ nodes: [Node]) -> [Node] {
    var fused: [Node] = []
    for node in nodes {
      if let pointwise = node.layer as? Pointwise, pointwise.rectifies,
        var pool = fused.last?.layer as? MaxPool, pool.pointwise == nil
      {
        pool.pointwise = pointwise
        // The dropout's place in the network is part of its stream's key.
        fused[fused.count - 1] = Node(
          layer: pool, site: LayerSite(index: node.site.index, label: fused[fused.count - 1].site.label))
      } else {
        fused.append(node)
      }
    }
    return fused
  }
}

/// A layer whose primitive can apply a ReLU to its results.
protocol Rectifiable: CompilableLayer {
  /// The same layer with a ReLU behind it; nil if it has one already.
  func rectified() -> (any CompilableLayer)?
}

/// Rewrites the sequence of layers into an equal one that moves less memory.
enum Fusion {
  static func apply(_ nodes: [Node], options: PlanOptions) -> [Node] {
    var nodes = selectTokensEarly(nodes).map { withBranchesRewritten($0, options) }
      .compactMap { dropoutResolved($0, options) }
    swapReLUAndMaxPool(&nodes)
    return fusePointwiseIntoMaxPool(fuseActivations(nodes))
  }

  private static func withBranchesRewritten(_ node: Node, _ options: PlanOptions) -> Node {
    guard var residual = node.layer as? CompilableResidual else { return node }
    residual.body = apply(residual.body, options: options)
    residual.shortcut = apply(residual.shortcut, options: options)
    return Node(layer: residual, site: node.site)
  }

  /// Dropout becomes the pointwise layer with its effective probability; one that drops nothing disappears.
  private static func dropoutResolved(_ node: Node, _ options: PlanOptions) -> Node? {
    guard let dropout = node.layer as? Dropout else { return node }
    let pointwise = Pointwise(rectifies: false, dropProbability: dropout.probability * options.dropoutScale)
    return pointwise.dropThreshold == 0 ? nil : Node(layer: pointwise, site: node.site)
  }

  /// max(ReLU(a), ReLU(b)) = ReLU(max(a, b)), and so are the gradients: the window's largest element gets it where it
  /// is positive. A 2×2 pooling leaves a quarter of the elements to rectify. Behind a normalisation, whose pass
  /// rectifies for nothing, they stay.
  private static func swapReLUAndMaxPool(_ nodes: inout [Node]) {
    guard nodes.count > 1 else { return }
    for index in 1..<nodes.count where nodes[index - 1].layer is ReLU && nodes[index].layer is MaxPool {
      if index > 1 && nodes[index - 2].layer is BatchNorm { continue }
      nodes.swapAt(index - 1, index)
    }
  }

  /// An activation goes into the layer before it where that can apply it; a ReLU in front of a dropout into one pass
  /// with that.
  private static func fuseActivations(_ nodes: [Node]) -> [Node] {
    var fused: [Node] = []
    var index = 0
    while index < nodes.count {
      let node = nodes[index]
      index += 1
      guard let activation = (node.layer as? any ActivationLayer)?.activation else {
        fused.append(node)
        continue
      }
      if activation == .relu, index < nodes.count, let next = nodes[index].layer as? Pointwise {
        fused.append(
          Node(
            layer: Pointwise(rectifies: true, dropProbability: next.dropProbability), site: nodes[index].site))
        index += 1
      } else if activation != .relu, index < nodes.count, let next = nodes[index].layer as? Pointwise,
        !next.rectifies
      {
        fused.append(
          Node(layer: SmoothActivation(activation: activation, dropout: next), site: nodes[index].site))
        index += 1
      } else if let last = fused.last,
        let activated = (last.layer as? any Activatable)?.activated(by: activation)
      {
        fused[fused.count - 1].layer = activated
      } else if activation == .relu {
        fused.append(Node(layer: Pointwise(rectifies: true, dropProbability: 0), site: node.site))
      } else {
        fused.append(node)
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

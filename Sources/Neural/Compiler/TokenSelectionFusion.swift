/// A layer that computes each token from that token alone, so that of the tokens behind it only those that are read
/// need to be computed.
protocol TokenwiseLayer: CompilableLayer {}

extension LayerNorm: TokenwiseLayer {}
extension Dense: TokenwiseLayer {}
extension ReLU: TokenwiseLayer {}
extension GELU: TokenwiseLayer {}
extension SiLU: TokenwiseLayer {}
extension Dropout: TokenwiseLayer {}
extension Scale: TokenwiseLayer {}

extension Fusion {
  /// Selects a token as early as can be: in front of layers that treat tokens separately, of residual blocks of such
  /// layers, and of the last projection of an attention. A classifier that reads one token then has the last block's
  /// MLP computed for one token instead of all; the results are the same, but for which elements a dropout strikes
  /// there.
  static func selectTokensEarly(_ nodes: [Node]) -> [Node] {
    var nodes = nodes
    guard var index = nodes.firstIndex(where: { $0.layer is TokenSelection }),
      let selection = nodes[index].layer as? TokenSelection
    else { return nodes }
    while index > 0, isTokenwise(nodes[index - 1].layer) {
      nodes.swapAt(index - 1, index)
      index -= 1
    }
    if index > 0, let block = nodes[index - 1].layer as? CompilableResidual,
      let selecting = withLastProjection(of: block, selecting: selection, at: nodes[index].site)
    {
      nodes[index - 1].layer = selecting
      nodes.remove(at: index)
    }
    return nodes
  }

  private static func isTokenwise(_ layer: any CompilableLayer) -> Bool {
    guard let block = layer as? CompilableResidual else { return layer is any TokenwiseLayer }
    return block.activation == nil && (block.body + block.shortcut).allSatisfy { isTokenwise($0.layer) }
  }

  /// A residual block that ends in an attention, with the selection inside both of its branches.
  private static func withLastProjection(
    of block: CompilableResidual, selecting selection: TokenSelection, at site: LayerSite
  ) -> CompilableResidual? {
    guard block.activation == nil, var last = block.body.last, var attention = last.layer as? MultiHeadSelfAttention
    else { return nil }
    attention.selectedToken = selection.token
    last.layer = attention
    var selecting = block
    selecting.body[selecting.body.count - 1] = last
    selecting.shortcut.append(Node(layer: selection, site: site))
    return selecting
  }
}

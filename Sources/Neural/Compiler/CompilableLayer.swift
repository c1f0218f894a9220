/// A layer that plans can compile.
protocol CompilableLayer: Layer {
  /// Emits the forward operations for `input`, and records the backward ones.
  /// - Parameter site: where in the network the layer stands.
  func compile(_ input: Value, _ site: LayerSite, _ compiler: PlanCompiler) throws -> Value
  /// Refuses what is wrong with the layer whatever its input.
  /// - Parameter description: what to call the layer in the error.
  func check(_ description: String) throws(PlanError)
}

extension CompilableLayer {
  func check(_ description: String) throws(PlanError) {}
}

/// Where in a network a layer stands.
struct LayerSite {
  /// Position in the declaration, from 0, layers inside of others included: part of the key of a dropout stream.
  let index: Int
  /// The layer's name, or kind and position: `conv1`, `MaxPool 5`.
  let label: String
}

/// A layer as it is about to be compiled.
struct Node {
  var layer: any CompilableLayer
  var site: LayerSite
}

/// A layer that can apply an activation to its results in the same pass.
protocol Activatable: CompilableLayer {
  /// The same layer with the activation behind it; nil if it cannot apply this one, or has one already.
  func activated(by activation: Activation) -> (any CompilableLayer)?
}

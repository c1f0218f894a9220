extension PlanCompiler {
  /// Chooses between a primitive that takes its arguments in the layouts they already have, and one that picks its own
  /// layouts, which then costs copies.
  ///
  /// The rule knows no timings: the layouts at hand are kept unless oneDNN has no generated kernel for them (`ref`, or
  /// a general `gemm`) while it has one for layouts of its own choosing. For the MNIST network's first dense layer (64
  /// × 9216 to 128), forward + backward weights + backward data take 1.6 + 1.6 + 2.2 ms with the weights as the
  /// forward pass likes them and 1.9 + 1.9 + 1.5 ms as the backward pass does: not worth a copy of 4.7 MB.
  func preferringLayoutsAtHand(
    _ atHand: () throws(OneDNNError) -> PrimitiveDescriptor, free: () throws(OneDNNError) -> PrimitiveDescriptor
  ) throws(OneDNNError) -> PrimitiveDescriptor {
    guard let kept = try ifImplemented(atHand) else { return try free() }
    guard Self.isFallback(try kept.implementation()) else { return kept }
    let chosen = try free()
    return Self.isFallback(try chosen.implementation()) ? kept : chosen
  }

  static func isFallback(_ implementation: String) -> Bool {
    implementation.hasPrefix("ref") || implementation.hasPrefix("gemm") || implementation.hasPrefix("simple")
  }
}

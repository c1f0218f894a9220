/// What flows between two layers: the activations of a whole batch, and later their gradient.
final class Value {
  /// Shape of one example, as the layers see it: `[channels, height, width]`, `[tokens, width]` or `[features]`. The
  /// descriptor may know more: behind a `Flatten` it still tells channels from positions, so that a dense layer can
  /// take a blocked source as it is. Tokens are rows of a matrix, `[batch · tokens, width]`.
  let shape: [Int]
  let descriptor: MemoryDescriptor
  let buffer: Buffer
  /// Whether some layer in front of this value has parameters.
  let requiresGradient: Bool
  /// Whether an operation may put its result in the same bytes: no backward pass reads this value, nor does the caller.
  let mayBeOverwritten: Bool
  /// Set while the tape is played back, by the layers that took this value: one, or two behind a fork.
  private(set) var gradients: [Gradient] = []
  /// Whether the layer that made this value can go back from a ``PooledGradient``; a pooling behind it then leaves that
  /// instead of a gradient.
  var acceptsPooledGradient = false
  /// See `acceptsPooledGradient`.
  var pooledGradient: PooledGradient?
  /// The alias that the input of a residual block is added through, for the alias that its body reads: the first layer
  /// of the body may add that gradient to its own.
  var bypass: Value?
  /// The value is what a ReLU fused into a primitive put out.
  var isRectified = false
  /// The layer that left the gradient has applied that ReLU's mask already.
  var gradientIsRectified = false

  struct Gradient {
    let descriptor: MemoryDescriptor
    let buffer: Buffer
    /// Whether the layer that gets this gradient may change its bytes: nobody reads them after it.
    var mayBeOverwritten = true
    var tensor: Tensor { Tensor(descriptor: descriptor, storage: .buffer(buffer)) }
  }

  init(
    shape: [Int], descriptor: MemoryDescriptor, buffer: Buffer, requiresGradient: Bool, mayBeOverwritten: Bool
  ) {
    self.shape = shape
    self.descriptor = descriptor
    self.buffer = buffer
    self.requiresGradient = requiresGradient
    self.mayBeOverwritten = mayBeOverwritten
  }

  var tensor: Tensor { Tensor(descriptor: descriptor, storage: .buffer(buffer)) }

  /// Takes the gradient that one of the layers behind this value computed.
  func receive(_ gradient: Gradient) { gradients.append(gradient) }

  /// Hands over the gradient that came past the body of a residual block, if it is there already and has the wanted
  /// layout; it then is for the caller to add.
  func takeBypassGradient(as wanted: MemoryDescriptor) -> Gradient? {
    guard let bypass, bypass.gradients.count == 1, bypass.gradients[0].descriptor == wanted else { return nil }
    return bypass.gradients.removeLast()
  }

  /// The same activations for one of several readers, each of which leaves its gradient in an alias of its own.
  func alias() -> Value {
    Value(
      shape: shape, descriptor: descriptor, buffer: buffer, requiresGradient: requiresGradient, mayBeOverwritten: false)
  }
}

/// The gradient of what went into a max-pooling, not written out: it is zero but for one element a window.
struct PooledGradient {
  /// Gradient of the pooling's output.
  let gradient: Buffer
  /// The pooling's output; where `isRectified`, the gradient passes only where this is positive.
  let output: Buffer
  /// Which element of its window was the largest, a byte for each element of the output.
  let index: Buffer
  let isRectified: Bool
  /// Factor on the gradient: what a dropout behind the pooling multiplied the kept elements by.
  let scale: Float
}

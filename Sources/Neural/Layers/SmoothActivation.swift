internal import CKernels

/// GELU or SiLU, with the dropout behind it, in one pass: what those layers become.
///
/// The forward pass leaves the derivative, so that the way back is a product.
struct SmoothActivation: CompilableLayer {
  let activation: Activation
  let dropout: Pointwise?

  var kind: String { activation.rawValue + (dropout == nil ? "" : "+Dropout") }

  func outputShape(input: [Int]) throws(ShapeMismatch) -> [Int] { input }

  private var kernel: fw_smooth {
    switch activation {
    case .gelu: FW_SMOOTH_GELU_ERF
    case .silu: FW_SMOOTH_SILU
    default: FW_SMOOTH_GELU_TANH
    }
  }

  func compile(_ input: Value, _ site: LayerSite, _ compiler: PlanCompiler) throws -> Value {
    var source = input.tensor
    // Streams of dropout are counted per example, so an example's elements must lie together.
    if dropout != nil && !input.descriptor.hasContiguousExamples {
      source = try compiler.reordered(
        source, to: .plain(input.descriptor.shape, input.descriptor.precision), layer: site.label)
    }
    guard let sourceBuffer = source.buffer else { return input }
    let descriptor = source.descriptor
    let output = Value(
      shape: input.shape, descriptor: descriptor, buffer: compiler.makeBuffer(descriptor),
      requiresGradient: input.requiresGradient, mayBeOverwritten: true)
    let isFree = sourceBuffer !== input.buffer || input.mayBeOverwritten
    let derivative = isFree ? sourceBuffer : compiler.makeBuffer(descriptor)
    let (target, kernel, storage) = (output.buffer, kernel, descriptor.precision.storage)
    let (count, examples) = (descriptor.elementCount, compiler.batchSize)
    let keepsDerivative = input.requiresGradient
    let template = dropout?.streamTemplate(site, compiler)
    let equivalent = Equivalent(site.label, .activation(activation, descriptor))
    compiler.emit(
      "\(site.label) \(kind)", touching: [sourceBuffer, target, derivative], equivalents: [equivalent]
    ) { context in
      let derivatives = keepsDerivative && context.isTraining ? derivative.address : nil
      if context.isTraining, var template {
        template.step = context.step
        fw_smooth_forward(
          kernel, storage, sourceBuffer.address, target.address, derivatives, examples, count / examples,
          context.firstExample, &template)
      } else {
        fw_smooth_forward(
          kernel, storage, sourceBuffer.address, target.address, derivatives, examples, count / examples, 0, nil)
      }
    }
    guard input.requiresGradient else { return output }
    compiler.onBackward {
      guard let arrived = try compiler.gradient(of: output, layer: site.label) else { return }
      let (gradient, result) = try compiler.inPlace(arrived, as: descriptor, layer: site.label)
      let equivalent = Equivalent(site.label, .activationBackward(activation, descriptor))
      compiler.emit(
        "\(site.label) \(kind) backward", touching: [gradient, derivative, result], equivalents: [equivalent]
      ) { _ in
        fw_multiply(storage, gradient.address, derivative.address, result.address, count)
      }
      input.receive(Value.Gradient(descriptor: descriptor, buffer: result))
    }
    return output
  }
}

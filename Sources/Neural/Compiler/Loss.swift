internal import CKernels

/// Softmax cross-entropy with label smoothing (PyTorch's `cross_entropy(reduction: "sum")`), with its gradient.
enum SoftmaxCrossEntropy {
  /// Emits the loss of `logits` (batch × classes), which leaves sum and hits in the context.
  static func compile(_ logits: Value, labels: Buffer, _ compiler: PlanCompiler) throws {
    let classes = logits.shape[0]
    let plain = try MemoryDescriptor.plain([compiler.batchSize, classes])
    let tensor = try compiler.reordered(logits.tensor, to: plain, layer: "loss")
    guard let source = tensor.buffer else { return }
    let gradient = Value.Gradient(descriptor: plain, buffer: compiler.makeBuffer(plain))
    let smoothing = compiler.options.labelSmoothing
    compiler.emit("loss", touching: [source, gradient.buffer, labels]) { context in
      // The gradient is written in the same pass, for the examples that count; `backward` may not follow an evaluation.
      var correct: Int64 = 0
      context.lossSum = fw_softmax_cross_entropy(
        source.floats, labels.address.assumingMemoryBound(to: Int32.self), context.exampleCount, classes, smoothing,
        context.lossScale, context.isTraining ? gradient.buffer.floats : nil, &correct)
      context.correct = Int(correct)
    }
    compiler.onBackward { logits.gradient = gradient }
  }
}

internal import CKernels

/// Softmax cross-entropy with label smoothing (PyTorch's `cross_entropy(reduction: "sum")`), with its gradient.
enum SoftmaxCrossEntropy {
  /// Emits the loss of `logits` (batch × classes), which leaves sum and hits in the context.
  /// - Returns: where the loss reads the logits, and a copy of them that lasts until the next forward pass.
  static func compile(
    _ logits: Value, labels: Buffer, _ compiler: PlanCompiler
  ) throws -> (read: Buffer, kept: Buffer) {
    let classes = logits.shape[0]
    let plain = try MemoryDescriptor.plain([compiler.batchSize, classes])
    let tensor = try compiler.reordered(logits.tensor, to: plain, layer: "loss")
    let kept = compiler.makeBuffer(plain, isPinned: true)
    guard let source = tensor.buffer else { return (kept, kept) }
    let gradient = Value.Gradient(descriptor: plain, buffer: compiler.makeBuffer(plain))
    let smoothing = compiler.options.labelSmoothing
    let count = compiler.batchSize * classes
    compiler.emit("loss", touching: [source, gradient.buffer, labels]) { context in
      kept.floats.update(from: source.floats, count: count)
      // The gradient is written in the same pass, for the examples that count; `backward` may not follow an evaluation.
      var correct: Int64 = 0
      context.lossSum = fw_softmax_cross_entropy(
        source.floats, labels.address.assumingMemoryBound(to: Int32.self), context.exampleCount, classes, smoothing,
        context.lossScale, context.isTraining ? gradient.buffer.floats : nil, &correct)
      context.correct = Int(correct)
    }
    compiler.onBackward { logits.receive(gradient) }
    return (source, kept)
  }
}

internal import CKernels

/// A ``Sequential`` compiled for a batch size and a precision: shapes checked, kernels generated, memory laid out.
///
/// ```swift
/// let plan = try Plan(Models.mnist(), batchSize: 64)
/// try plan.bind(parameters: y, gradients: g)      // arenas of plan.layout.count floats, 64-byte aligned
/// // fill plan.inputBytes and plan.labels, then
/// let lossSum = try plan.forward(step: k, firstExample: 0)
/// try plan.backward { fromOffset in … }
/// ```
///
/// Not `Sendable`: a plan belongs to one thread at a time. A training step allocates nothing in this module; oneDNN
/// keeps a few small allocations of its own per primitive executed.
public final class Plan {
  /// Where each parameter lies in the arenas.
  public let layout: ParameterLayout
  /// Examples per batch.
  public let batchSize: Int
  /// Outputs of the last layer.
  public let classCount: Int
  /// What the plan was compiled with.
  public let options: PlanOptions
  /// The batch, N × C × H × W in row-major order, to be filled before ``forward(step:firstExample:)``: elements of the
  /// plan's precision (``PlanOptions/precision``).
  public let inputBytes: UnsafeMutableRawBufferPointer
  /// The batch of a plan in single precision; empty in others.
  public let input: UnsafeMutableBufferPointer<Float>
  /// The classes of the examples, in 0 ..< ``classCount``.
  public let labels: UnsafeMutableBufferPointer<Int32>
  /// Factor on the gradient of the SUM of the examples' losses; 1 / (examples of the global batch) gives the mean's.
  public var lossScale: Float {
    get { context.lossScale }
    set { context.lossScale = newValue }
  }

  let model: Sequential
  let program: Program
  let context: RunContext
  private var isBound = false
  private var hasForward = false

  /// Compiles a network.
  /// - Parameters:
  ///   - model: the network; its last layer's outputs are the logits.
  ///   - batchSize: examples per batch, at least 1.
  ///   - options: algorithms, dropout, label smoothing, precision.
  /// - Throws: ``PlanError`` that names the layer, what came and what was expected, or how many bytes are wanting for
  ///   such batches; ``OneDNNError``.
  public convenience init(_ model: Sequential, batchSize: Int, options: PlanOptions = PlanOptions()) throws {
    try self.init(model, batchSize: batchSize, options: options, usesFusedKernels: true)
  }

  /// - Parameter usesFusedKernels: off: oneDNN's primitives wherever it has one, for comparison.
  init(_ model: Sequential, batchSize: Int, options: PlanOptions, usesFusedKernels: Bool) throws {
    self.model = model
    self.batchSize = batchSize
    self.options = options
    program = try Program(model, batchSize: batchSize, options: options, usesFusedKernels: usesFusedKernels)
    layout = program.layout
    classCount = program.classCount
    inputBytes = program.input
    input =
      options.precision == .float32
      ? program.input.assumingMemoryBound(to: Float.self) : UnsafeMutableBufferPointer(start: nil, count: 0)
    labels = program.labels
    context = RunContext(program.stream)
    context.exampleCount = batchSize
  }

  /// The oneDNN primitives of a training step, in the order in which they run.
  public var primitives: [PrimitiveRecord] {
    (program.forward + program.backward).compactMap { ($0 as? PrimitiveOperation)?.record }
  }

  /// Bytes of the plan's own memory: activations, their gradients, the batch, and oneDNN's scratch space.
  public var memoryByteCount: Int { program.block.byteCount }

  /// Says where parameters are read and gradients written. May be called again, with other arenas, between steps.
  ///
  /// - Parameters:
  ///   - parameters: `layout.count` floats, 64-byte aligned, owned by the caller for as long as the plan uses them.
  ///     Padding (inside tensors and between them) must be zero; oneDNN 2 may write those zeros again, here.
  ///   - gradients: as `parameters`; the padding inside tensors is written as zero, that between them never touched.
  /// - Throws: ``OneDNNError``.
  public func bind(
    parameters: UnsafeMutablePointer<Float>, gradients: UnsafeMutablePointer<Float>
  ) throws {
    isBound = false
    try program.bind(parameters: parameters)
    try program.bind(gradients: gradients)
    context.boundParameters = parameters
    context.boundGradients = gradients
    isBound = true
  }

  /// Changes the gradient arena alone, as gradient accumulation does between the batches of a step.
  ///
  /// Whenever a memory object gets an address, oneDNN 2 writes zeros over the padding there, and it has no call that
  /// does not. ``bind(parameters:gradients:)`` must therefore not be called while others read the parameters, as ranks
  /// that share them do; this writes to the new gradient arena only.
  ///
  /// - Parameter gradients: as for ``bind(parameters:gradients:)``.
  /// - Throws: ``PlanError`` unless both arenas were bound before; ``OneDNNError``, which leaves the plan unbound.
  public func bind(gradients: UnsafeMutablePointer<Float>) throws {
    guard isBound else { throw PlanError.usage("bind the parameter arena before changing the gradient arena alone") }
    isBound = false
    try program.bind(gradients: gradients)
    context.boundGradients = gradients
    isBound = true
  }

  /// Computes the outputs of the batch in ``inputBytes``, in training mode.
  ///
  /// - Parameters:
  ///   - step: the training step, part of the key of the dropout masks.
  ///   - firstExample: number of the batch's first example within the step's global batch, likewise.
  ///   - needs: called before each layer with parameters, first layer first: the parameters at arena offsets below its
  ///     argument are about to be read. For parameters that are still on their way.
  /// - Returns: the sum of the examples' losses, added in order, in double precision.
  /// - Throws: ``PlanError`` for labels out of range or an unbound plan; ``OneDNNError``; what `needs` throws.
  public func forward(
    step: Int, firstExample: Int, needs: (_ upToOffset: Int) throws -> Void = { _ in }
  ) throws -> Double {
    try runForward(step: step, firstExample: firstExample, statistics: .batch, needs: needs)
    hasForward = true
    return context.lossSum
  }

  /// A forward pass in training mode.
  func runForward(
    step: Int, firstExample: Int, statistics: RunContext.Statistics,
    needs: (_ upToOffset: Int) throws -> Void = { _ in }
  ) throws {
    try checkReady(count: batchSize)
    context.isTraining = true
    context.statistics = statistics
    context.step = UInt32(truncatingIfNeeded: step)
    context.firstExample = UInt64(truncatingIfNeeded: firstExample)
    context.exampleCount = batchSize
    hasForward = false
    var next = 0
    for index in 0..<program.needs.count {
      try run(program.forward, next..<program.needs[index].operation)
      next = program.needs[index].operation
      try needs(program.needs[index].end)
    }
    try run(program.forward, next..<program.forward.count)
  }

  /// Computes the gradient of ``lossScale`` × (sum of the examples' losses) with respect to all parameters, and writes
  /// it into the gradient arena (it does not add). Follows a ``forward(step:firstExample:)``, once.
  ///
  /// - Parameter finished: called after each layer with parameters, last layer first: all gradients at arena offsets
  ///   from its argument on are final, and the weights there are no longer read.
  /// - Throws: ``PlanError`` without a forward pass before; ``OneDNNError``.
  public func backward(finished: (_ fromOffset: Int) throws -> Void) throws {
    guard hasForward else { throw PlanError.usage("backward needs a training forward pass before it") }
    hasForward = false
    var next = 0
    for index in 0..<program.marks.count {
      try run(program.backward, next..<program.marks[index].operationCount, first: program.forward.count)
      next = program.marks[index].operationCount
      try finished(program.marks[index].offset)
    }
    try run(program.backward, next..<program.backward.count, first: program.forward.count)
  }

  /// Computes the loss of the first `count` examples of the batch, without dropout and with the running statistics.
  /// What lies in the rest of the batch does not matter, as long as it is finite.
  ///
  /// - Parameter count: examples that count.
  /// - Returns: the sum of the losses, and how many examples had their largest logit at the label (the first of
  ///   equals).
  /// - Throws: ``PlanError`` for a count or a label out of range, or an unbound plan; ``OneDNNError``.
  public func evaluate(count: Int) throws -> (lossSum: Double, correct: Int) {
    try beginEvaluation(count: count)
    try run(program.forward, 0..<program.forward.count)
    return (context.lossSum, context.correct)
  }

  /// The same for the averages of the logits over several views of the batch, such as its images mirrored or moved.
  ///
  /// - Parameters:
  ///   - count: examples that count.
  ///   - weights: the part that each view has in the averages, one or more; 1 together.
  ///   - fill: writes the view of the given index into the input.
  /// - Returns: the sum of the losses of the averaged logits, and how many examples had their largest at the label.
  /// - Throws: as ``evaluate(count:)``; what `fill` throws.
  public func evaluate(
    count: Int, weights: [Float], fill: (Int) throws -> Void
  ) throws -> (lossSum: Double, correct: Int) {
    // The loss is the last operation: it comes once, behind the last view, and is what writes the kept logits.
    let beforeLoss = program.forward.count - 1
    let (logits, sums, size) = (program.logits.floats, program.keptLogits.floats, batchSize * classCount)
    for view in weights.indices {
      try fill(view)
      try beginEvaluation(count: count)
      try run(program.forward, 0..<beforeLoss)
      for index in 0..<size { sums[index] = (view == 0 ? 0 : sums[index]) + weights[view] * logits[index] }
    }
    logits.update(from: sums, count: size)
    try run(program.forward, beforeLoss..<program.forward.count)
    return (context.lossSum, context.correct)
  }

  private func beginEvaluation(count: Int) throws {
    try checkReady(count: count)
    context.isTraining = false
    context.statistics = .running
    context.exampleCount = count
    hasForward = false
  }

  /// The outputs of the last forward pass, batch × classes; of an evaluation of several views, their averages.
  public var logits: UnsafeBufferPointer<Float> {
    UnsafeBufferPointer(start: program.keptLogits.floats, count: batchSize * classCount)
  }

  /// Called before each operation of a training step with its number, an index into ``operationLabels``: for timelines.
  /// It runs in the middle of the step.
  public var operationObserver: ((Int) -> Void)?

  /// What each operation of a training step is: its layer and what is done, forward first, in the order in which they
  /// run.
  public var operationLabels: [String] { (program.forward + program.backward).map(\.label) }

  /// How many operations of ``operationLabels`` are of the forward pass.
  public var forwardOperationCount: Int { program.forward.count }

  /// By index: in a debug build, iterating over an array of protocol values allocates.
  private func run(_ operations: [any Operation], _ range: Range<Int>, first: Int = 0) throws {
    guard let operationObserver else {
      for index in range { try operations[index].run(context) }
      return
    }
    for index in range {
      operationObserver(first + index)
      try operations[index].run(context)
    }
  }

  private func checkReady(count: Int) throws {
    guard isBound else { throw PlanError.usage("bind the parameter and gradient arenas before computing") }
    guard count >= 0 && count <= batchSize else {
      throw PlanError.value(name: "count", received: "\(count)", expected: "a number from 0 to \(batchSize)")
    }
    for index in 0..<count where labels[index] < 0 || labels[index] >= classCount {
      throw PlanError.value(
        name: "label of example \(index) of the batch", received: "\(labels[index])",
        expected: "a class from 0 to \(classCount - 1)")
    }
  }
}

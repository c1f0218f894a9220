/// What an operation may want to know about the step in progress. One instance per plan, changed between steps.
final class RunContext {
  /// What normalisations take their means and variances from.
  enum Statistics {
    /// The batch; the running statistics follow it.
    case batch
    /// The batch; its sums are added to those for new statistics, and the running ones stay.
    case accumulated
    /// The running statistics.
    case running
  }

  let stream: Stream
  /// The arenas that the caller has bound; for kernels of our own. A plan that is not bound runs nothing.
  var parameters: UnsafeMutablePointer<Float> { boundParameters.unsafelyUnwrapped }
  var gradients: UnsafeMutablePointer<Float> { boundGradients.unsafelyUnwrapped }
  var boundParameters: UnsafeMutablePointer<Float>?
  var boundGradients: UnsafeMutablePointer<Float>?
  /// Dropout is on, and what the backward pass needs is kept.
  var isTraining = true
  var statistics = Statistics.batch
  /// Adds up sums over the ranks, in place, where statistics are those of the batches of all ranks.
  var sumOverRanks: ((UnsafeMutablePointer<Double>, Int) throws -> Void)?
  var step: UInt32 = 0
  var firstExample: UInt64 = 0
  /// Factor on the gradient of the sum of the examples' losses.
  var lossScale: Float = 1
  /// Examples of the batch that the loss counts.
  var exampleCount = 0
  /// Sum of the examples' losses, put there by the loss.
  var lossSum = 0.0
  /// Correctly classified examples, put there by the loss.
  var correct = 0

  init(_ stream: Stream) { self.stream = stream }
}

/// One entry of a plan's program.
protocol Operation: AnyObject {
  /// The layer and what is done, for profiles.
  var label: String { get }
  func run(_ context: RunContext) throws
}

/// A oneDNN primitive.
final class PrimitiveOperation: Operation {
  let record: PrimitiveRecord
  let primitive: Primitive

  init(_ record: PrimitiveRecord, _ primitive: Primitive) {
    self.record = record
    self.primitive = primitive
  }

  var label: String { record.description }

  func run(_ context: RunContext) throws { try primitive.execute(context.stream) }
}

/// A loop of our own.
final class KernelOperation: Operation {
  let label: String
  /// What oneDNN has for the same work; the profiler times that.
  let equivalents: [Equivalent]
  private let body: (RunContext) throws -> Void

  init(_ label: String, equivalents: [Equivalent], _ body: @escaping (RunContext) throws -> Void) {
    self.label = label
    self.equivalents = equivalents
    self.body = body
  }

  func run(_ context: RunContext) throws { try body(context) }
}

/// What an operation may want to know about the step in progress. One instance per plan, changed between steps.
final class RunContext {
  let stream: Stream
  var isTraining = true
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
  private let body: (RunContext) -> Void

  init(_ label: String, _ body: @escaping (RunContext) -> Void) {
    self.label = label
    self.body = body
  }

  func run(_ context: RunContext) { body(context) }
}

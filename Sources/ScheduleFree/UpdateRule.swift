/// One array of per-parameter state that an update rule keeps, such as `z`, `x` or `exp_avg_sq`.
///
/// Each slot has as many elements as there are parameters, and is divided over ranks exactly as they are.
public struct StateSlot: Sendable, Hashable {
  /// What a slot holds before the first step.
  public enum Initial: Sendable, Hashable {
    /// A copy of the model's initial parameters.
    case parameters
    /// Zeros.
    case zeros
  }

  /// The name under which checkpoints store the slot: the paper's (`z`, `x`) or PyTorch's (`exp_avg_sq`, …).
  public let name: String

  /// What the slot holds before the first step.
  public let initial: Initial

  /// Describes a slot.
  public init(name: String, initial: Initial) {
    self.name = name
    self.initial = initial
  }
}

/// What one element-wise pass of an update rule works on: a slice of the flat parameters, and the same slice of every
/// gradient and of the rule's state.
///
/// All pointers address the first element of the slice; none needs any alignment beyond that of `Scalar`. The memory is
/// the caller's, who keeps it alive and unshared for the call: `y` and the state are written, and overlap neither each
/// other nor the gradients; the gradients are only read (in shared memory, the caller orders that against their
/// writers).
public struct ElementRange<Scalar> {
  /// One pointer per gradient that is to be added up, in the order of the ranks (or lanes) that computed them. They are
  /// summed in the tree of ``treeSplit(_:)``.
  public var gradients: UnsafePointer<UnsafePointer<Scalar>>
  /// How many gradients there are, at least 1.
  public var gradientCount: Int
  /// Multiplies the sum of the gradients: the factor of gradient clipping, 1 when that is off.
  public var gradientScale: Scalar
  /// Receives the point at which the next gradient is to be taken. It is only written; what it held is never read.
  public var y: UnsafeMutablePointer<Scalar>
  /// One pointer per ``StateSlot``, in the order of the rule's ``UpdateRule/stateSlots``.
  public var state: UnsafePointer<UnsafeMutablePointer<Scalar>>
  /// Elements in the slice; 0 is allowed.
  public var count: Int

  /// Describes a slice.
  public init(
    gradients: UnsafePointer<UnsafePointer<Scalar>>, gradientCount: Int, gradientScale: Scalar,
    y: UnsafeMutablePointer<Scalar>, state: UnsafePointer<UnsafeMutablePointer<Scalar>>, count: Int
  ) {
    self.gradients = gradients
    self.gradientCount = gradientCount
    self.gradientScale = gradientScale
    self.y = y
    self.state = state
    self.count = count
  }
}

/// An optimizer's arithmetic over flat ranges of parameters. It knows of no tensors, ranks or files.
///
/// A rule declares its per-parameter state and advances a few scalars once per step; its element-wise pass may then be
/// applied to any division of the parameters into slices, by any number of ranks, in any order:
///
/// ```
/// rule.beginStep()                             // once per step, on every rank
/// for slice in shard { rule.update(slice) }    // each element exactly once
/// ```
///
/// The result for an element does not depend on the slice it is part of nor on the processor's instruction set: the
/// bits are the same for any slicing.
///
/// A new method is one file that conforms to this protocol (and a C kernel for `Float`), and one line in
/// ``OptimizerRegistry/methods``. A method that needs sums over all parameters (norms, inner products) refines this
/// protocol by a requirement for its shard's part of them; the rules here need none.
public protocol UpdateRule: Sendable {
  /// The name in ``OptimizerRegistry``, such as `adamw-schedulefree`.
  var name: String { get }

  /// The arrays of state the rule keeps, in the order in which ``ElementRange/state`` lists them.
  var stateSlots: [StateSlot] { get }

  /// The index in ``stateSlots`` of the parameters to evaluate and save: x, or the parameters of a method without
  /// averaging.
  var evaluationSlot: Int { get }

  /// The hyperparameters in force, those left at their defaults included.
  var hyperparameters: [HyperparameterSetting] { get }

  /// The scalars that must survive a resume.
  var counters: RuleCounters { get }

  /// Continues from saved counters.
  ///
  /// - Throws: ``RuleCountersError`` if they are another rule's, incomplete, or hold a value that no run produces.
  mutating func restore(_ counters: RuleCounters) throws

  /// Begins the next step: advances k, the learning rate γ and the averaging weight c. Allocates nothing.
  mutating func beginStep()

  /// γ of the step begun last; before the first, γ of the first.
  var learningRate: Double { get }

  /// The element-wise pass of the step begun last, in single precision: one fused loop, vectorised.
  func update(_ range: ElementRange<Float>)

  /// The element-wise pass of the step begun last, in double precision: plain loops.
  func update(_ range: ElementRange<Double>)

  /// Writes the point at which the next gradient is to be taken, from the state alone: the same bits that
  /// ``update(_:)`` wrote. Used at the start, after a resume, and after an evaluation that overwrote y.
  ///
  /// - Parameters:
  ///   - state: one pointer per slot, as in ``ElementRange/state``; only read.
  ///   - y: receives `count` elements.
  ///   - count: elements in the slice; 0 is allowed.
  func writeGradientPoint(
    state: UnsafePointer<UnsafeMutablePointer<Float>>, y: UnsafeMutablePointer<Float>, count: Int)

  /// The same in double precision.
  func writeGradientPoint(
    state: UnsafePointer<UnsafeMutablePointer<Double>>, y: UnsafeMutablePointer<Double>, count: Int)
}

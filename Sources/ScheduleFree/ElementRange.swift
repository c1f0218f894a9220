/// What one element-wise pass of an update rule works on: a slice of the flat parameters, and the same slice of every
/// gradient and of the rule's state.
///
/// The pointers to y and to the state address the first element of the slice, those to gradients the element
/// ``gradientOffset`` before it; none needs any alignment beyond that of `Scalar`. The memory is
/// the caller's, who keeps it alive and unshared for the call: `y` and the state are written, and overlap neither each
/// other nor the gradients; the gradients are only read (in shared memory, the caller orders that against their
/// writers).
public struct ElementRange<Scalar> {
  /// One pointer per gradient that is to be added up, in the order of the ranks (or lanes) that computed them. They are
  /// summed in the tree of ``treeSplit(_:)``.
  public var gradients: UnsafePointer<UnsafePointer<Scalar>>
  /// How many gradients there are, at least 1.
  public var gradientCount: Int
  /// Elements by which the slice begins behind each of the gradient pointers. It is for wrapping rules, which hand a
  /// slice on in blocks and have no memory for shifted pointers.
  public var gradientOffset: Int
  /// Multiplies the sum of the gradients: the factor of gradient clipping, 1 when that is off.
  public var gradientScale: Scalar
  /// Receives the point at which the next gradient is to be taken. It is only written; what it held is never read.
  public var y: UnsafeMutablePointer<Scalar>
  /// Whether single-precision kernels may store y past the caches, which is faster where it will have left them anyway
  /// before anyone reads it. A matter of speed alone: the bits are the same.
  public var streamsY = false
  /// Set to true by single-precision kernels that write to ``y`` what is not a finite number, and never set to false;
  /// nil where nobody asks. Rules written in Swift alone need not look at it: what they miss shows in the next loss.
  public var foundNonFinite: UnsafeMutablePointer<Bool>?
  /// One pointer per ``StateSlot``, in the order of the rule's ``UpdateRule/stateSlots``.
  public var state: UnsafePointer<UnsafeMutablePointer<Scalar>>
  /// Elements in the slice; 0 is allowed.
  public var count: Int

  /// Describes a slice.
  public init(
    gradients: UnsafePointer<UnsafePointer<Scalar>>, gradientCount: Int, gradientOffset: Int = 0,
    gradientScale: Scalar, y: UnsafeMutablePointer<Scalar>,
    state: UnsafePointer<UnsafeMutablePointer<Scalar>>, count: Int
  ) {
    self.gradients = gradients
    self.gradientCount = gradientCount
    self.gradientOffset = gradientOffset
    self.gradientScale = gradientScale
    self.y = y
    self.state = state
    self.count = count
  }
}

/// What becomes of a step in which the loss or the gradient is not a finite number.
public enum NonFiniteSteps: Sendable {
  /// The step goes on, and its outcome says so on all ranks: ``StepOutcome/isNonFinite``. Parameters and state are then
  /// of no use, unless clipping or the rule needed a sum that was not finite: then the step throws, and leaves them as
  /// they were.
  ///
  /// This costs nothing that could be measured: losses are looked at where they are handed in, and what an update
  /// leaves in y is looked at by the kernels in the pass that writes it. All ranks learn of it with the vote on whether
  /// to stop. A loss is agreed on in its own step. So is an update in the shared exchange, whose vote comes behind it;
  /// the others have voted by then, and agree on it with the vote of the next step.
  case reported
  /// The step is left out: parameters, state and counters stay as they are, and ``StepOutcome/skipped`` says why.
  ///
  /// Whether a step is to be left out must be known before anything is updated, so gradients are summed first, their
  /// norm is taken, and they are used in a second pass, as for clipping. Nothing overlaps with what comes before that.
  case skipped
}

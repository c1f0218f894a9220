import Datasets

/// How far a run has come. Everything else (order of examples, dropout) follows from the step and the seed.
struct RunProgress: Codable, Equatable {
  /// Steps done.
  var step = 0
  /// The best accuracy at x so far.
  var bestAccuracy: Double?
  /// Steps skipped so far, and those at the end without one between them that was not; nil for none.
  var skippedSteps: Int?
  var skippedInARow: Int?
  /// Seconds since the start of the run, over all its sessions.
  var seconds = 0.0

  /// Passes over the training data done, with fraction.
  func epoch(of sampler: Sampler) -> Double { Double(step) / Double(sampler.batchesPerEpoch) }
}

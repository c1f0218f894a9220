import ArgumentParser
import MPI

/// Whose examples batch normalisation takes its statistics of in training.
public enum BatchStatistics: String, ExpressibleByArgument, Sendable, CaseIterable {
  /// Each lane's own batch, as PyTorch's DistributedDataParallel does.
  case rank
  /// All ranks' batches together, as PyTorch's SyncBatchNorm does: two small sums over the ranks per normalisation.
  case global
}

extension TrainingOptions {
  /// Whether batches of several ranks are normalised together.
  func poolsStatistics(over world: Communicator) -> Bool { batchStatistics == .global && world.size > 1 }
}

/// What a thread of a rank is doing. A moment of a run belongs to exactly one phase of the thread that computes, so
/// that the times of all phases add up to the whole.
///
/// The raw values are what ranks send each other in heartbeats: the same program runs on all of them.
public enum Phase: UInt8, Sendable, CaseIterable {
  /// Before the first step: data, network, checkpoint to resume from.
  case starting
  /// Assembles a batch.
  case data
  /// The forward pass.
  case forward
  /// The backward pass.
  case backward
  /// Waits until other ranks have announced the gradients of a bucket, or have come to the end of backward.
  case waiting
  /// Moves gradients of a bucket between ranks, or waits for the network to do so.
  case exchanging
  /// Sums the gradients of a bucket and updates the shard's part of it.
  case updating
  /// Sends updated parameters of a bucket to other ranks and receives theirs.
  case publishing
  /// Adds up a number over all ranks.
  case summing
  /// Waits until all ranks have updated their shards.
  case finishing
  /// Between steps: decides what is due, writes metrics.
  case reporting
  /// Evaluates examples at x.
  case evaluating
  /// Recomputes statistics of normalisations at x.
  case statistics
  /// Waits for other ranks between steps, for their part of a loss or an evaluation.
  case agreeing
  /// Writes a checkpoint.
  case saving
  /// Waits for rank zero to write a checkpoint.
  case awaitingCheckpoint
  /// Has nothing to do: a communication thread between steps.
  case idle
  /// Has left the run.
  case done

  /// How the time of a step is divided.
  public enum Share: Int, Sendable, CaseIterable {
    /// Forward and backward.
    case compute
    /// Assembling batches.
    case data
    /// Summing gradients and updating the shard.
    case update
    /// Moving gradients and parameters while nothing else could be done.
    case communication
    /// Waiting for ranks that computed longer.
    case waiting
    /// The rest: metrics, deciding what is due.
    case other
  }

  /// Which share of a step's time this is; nil for what lies outside steps.
  public var share: Share? {
    switch self {
    case .forward, .backward: .compute
    case .data: .data
    case .updating: .update
    case .exchanging, .publishing: .communication
    case .waiting, .summing, .finishing: .waiting
    case .reporting: .other
    case .starting, .evaluating, .statistics, .agreeing, .saving, .awaitingCheckpoint, .idle, .done: nil
    }
  }

  /// Whether a thread in this phase waits for what others do, so that it is not to blame when nothing happens.
  var isWaiting: Bool {
    switch self {
    case .waiting, .exchanging, .publishing, .summing, .finishing, .agreeing, .awaitingCheckpoint, .idle: true
    case .starting, .data, .forward, .backward, .updating, .reporting, .evaluating, .statistics, .saving, .done: false
    }
  }

  /// Whether nobody can say how long this takes: files are read or written, or a network is compiled.
  var isOpenEnded: Bool { self == .starting || self == .saving }

  /// Whether a bucket belongs to it.
  var hasBucket: Bool {
    switch self {
    case .waiting, .exchanging, .updating, .publishing: true
    default: false
    }
  }

  /// What a rank in this phase does, for people: `rank 1 … is <words>`.
  public var words: String {
    switch self {
    case .starting: "starting"
    case .data: "assembling a batch"
    case .forward: "in the forward pass"
    case .backward: "in the backward pass"
    case .waiting: "waiting for gradients"
    case .exchanging: "exchanging gradients"
    case .updating: "updating its shard"
    case .publishing: "exchanging updated parameters"
    case .summing: "adding up numbers of all ranks"
    case .finishing: "waiting for updated parameters"
    case .reporting: "between steps"
    case .evaluating: "evaluating"
    case .statistics: "computing statistics at x"
    case .agreeing: "waiting for results of other ranks"
    case .saving: "saving a checkpoint"
    case .awaitingCheckpoint: "waiting for rank 0 to save a checkpoint"
    case .idle: "idle"
    case .done: "done"
    }
  }

  /// A short name with the bucket, where there is one: `update bucket 2`.
  public func bucketedName(_ bucket: Int) -> String { hasBucket ? "\(name) bucket \(bucket)" : name }

  /// A short name, for timelines and metrics.
  public var name: String {
    switch self {
    case .starting: "start"
    case .data: "data"
    case .forward: "forward"
    case .backward: "backward"
    case .waiting: "wait"
    case .exchanging: "exchange"
    case .updating: "update"
    case .publishing: "publish"
    case .summing: "sum"
    case .finishing: "finish"
    case .reporting: "between steps"
    case .evaluating: "evaluate"
    case .statistics: "statistics"
    case .agreeing: "agree"
    case .saving: "save"
    case .awaitingCheckpoint: "await checkpoint"
    case .idle: "idle"
    case .done: "done"
    }
  }
}

import ArgumentParser
import DataParallel
import Datasets
import Neural
import ScheduleFree

/// The flags that every training program takes: `@OptionGroup var training: TrainingOptions`.
///
/// Values are checked by ``validate()`` before any work is done; each error names the flag, the value and what is
/// allowed.
public struct TrainingOptions: ParsableArguments, Sendable {
  /// Epochs of a run for which neither epochs nor steps are given.
  public static let defaultEpochs = 14

  /// The largest number of steps that a flag may give: sums of a few stay whole numbers.
  static let largestStepCount = 1 << 40

  // MARK: Data

  /// The folder of the data set; nil: the program's default folder if it exists, else built-in synthetic data.
  @Option(
    help: "Folder of the data set. Without it: the program's folder under data/ if there is one, else built-in data.")
  public var data: String?

  /// Examples that one rank computes a gradient of at a time.
  @Option(help: "Examples per lane (so per rank, unless --lanes is given) and gradient.")
  public var batchSize: Int = 64

  /// Gradients of this many batches are summed before each update.
  @Option(help: "Batches per lane that are summed before each update.")
  public var accumulate: Int = 1

  /// Parts that a global batch is divided into; nil: one a rank.
  @Option(
    help: """
      Equal parts of a global batch, divided over the ranks: ranks times a power of two. With the same lanes, any \
      number of ranks that allows gives the same bits. (default: one a rank)
      """)
  public var lanes: Int?

  /// Seeds the initial parameters, the order of examples and dropout.
  @Option(help: "Seed of initial weights, order of examples and dropout.")
  public var seed: UInt64 = 1

  /// Takes examples in file order.
  @Flag(help: "Take examples in the order of the files.")
  public var noShuffle = false

  /// What is done with examples that do not fill a last batch.
  @Option(help: "The last, partial batch of an epoch: \(Sampler.LastBatch.allValueStrings.joined(separator: "|")).")
  public var lastBatch: Sampler.LastBatch = .drop

  // MARK: Length

  /// Epochs to train for, unless ``steps`` is given. Default: 14.
  @Option(help: "Passes over the training data. (default: \(defaultEpochs), unless --steps is given)")
  public var epochs: Int?

  /// Steps to train for, in place of ``epochs``.
  @Option(help: "Optimizer steps to train for, in place of --epochs.")
  public var steps: Int?

  // MARK: Optimizer

  /// The update rule and its hyperparameters.
  @OptionGroup(title: "Optimizer")
  public var optimizer: OptimizerFlags

  /// Tensors with hyperparameters of their own.
  @OptionGroup(title: "Parameter groups")
  public var parameterGroups: ParameterGroupFlags

  /// Largest norm of the whole gradient.
  @Option(help: "Scale gradients down to this norm. (default: off)")
  public var clipNorm: Double?

  /// What becomes of a step whose loss or gradient is not a finite number.
  @Option(
    help: """
      Where a loss or the gradient is not a finite number: end the run, or skip the step, which takes gradients to be \
      summed before anything is updated: \(OnNonFinite.allValueStrings.joined(separator: "|")).
      """)
  public var onNonfinite: OnNonFinite = .stop

  /// Skipped steps in a row that end the run.
  @Option(help: "With --on-nonfinite skip: so many skipped steps in a row end the run.")
  public var nonfiniteLimit: Int = 10

  // MARK: Network

  /// Factor on every dropout probability.
  @Option(help: "Factor on every dropout probability, 0 to 1; 0 turns dropout off.")
  public var dropoutScale: Double = 1

  /// Probability mass that the loss spreads evenly over all classes.
  @Option(help: "Label smoothing of the loss, from 0 up to but not including 1.")
  public var labelSmoothing: Double = 0

  /// Algorithm of convolutions.
  @Option(help: "Convolution algorithm: \(ConvolutionAlgorithm.allValueStrings.joined(separator: "|")).")
  public var convolution: ConvolutionAlgorithm = .auto

  /// The precision of activations, their gradients and the weights that are computed with.
  @Option(
    help: """
      What is computed in: \(Precision.allValueStrings.joined(separator: "|")). Parameters, optimizer state, sums and \
      evaluated weights are float32 in both.
      """)
  public var precision: Precision = .float32

  /// What `--precision bfloat16` means on processors without bfloat16 instructions.
  @Option(
    help: """
      Where a rank's processor has no bfloat16 instructions: \
      \(WithoutBFloat16.allValueStrings.joined(separator: "|")); 'float32' says so and goes on in float32 on all ranks.
      """)
  public var withoutBfloat16: WithoutBFloat16 = .float32

  /// Whose examples batch normalisation takes mean and variance of in training.
  @Option(
    help: """
      What batch normalisation uses in training: statistics of each rank's (with --lanes each lane's) batch, or of all \
      ranks' batches together, which takes a rank per lane: \
      \(BatchStatistics.allValueStrings.joined(separator: "|")).
      """)
  public var batchStatistics: BatchStatistics = .rank

  /// A model.safetensors to start from.
  @Option(help: "Start from the weights in this safetensors file.")
  public var initialWeights: String?

  // MARK: Ranks

  /// How gradients travel between ranks.
  @Option(help: "How gradients travel: \(ExchangeKind.allValueStrings.joined(separator: "|")).")
  public var exchange: ExchangeKind = .shared

  /// How the shared exchange goes between nodes.
  @OptionGroup(title: "Between nodes")
  public var betweenNodes: BetweenNodesFlags

  /// oneDNN's threads in each process; nil: what the environment says.
  @Option(
    help: """
      Threads that oneDNN computes with in each rank; Freewheel's own loops use one. launch/run --threads sets this \
      and gives each rank the cores for it. (default: OMP_NUM_THREADS)
      """)
  public var threadsPerRank: Int?

  /// What to do where hosts have other builds, libraries or instruction sets.
  @Option(
    help: """
      Where ranks run other executables or oneDNN versions, or compute with other instruction sets than each other: \
      \(MixedHosts.allValueStrings.joined(separator: "|")).
      """)
  public var mixedHosts: MixedHosts = .refuse

  /// Seconds after which a job that does not go on is ended; 0: never.
  @Option(
    help: ArgumentHelp(
      "Seconds within which a job is ended when a rank or host no longer answers or makes no progress; 0: never.",
      discussion: "The report says which rank waits for which. The exit code is then 76.", valueName: "seconds"))
  public var stallTimeout: Double = 120

  /// A file for a timeline of a few steps.
  @Option(
    help: ArgumentHelp(
      "Write a timeline of a few steps of all ranks to this file, for chrome://tracing or ui.perfetto.dev.",
      valueName: "file"))
  public var trace: String?

  /// The steps of the timeline. Default: ten steps after the first ten of this start, or fewer where there are fewer.
  @Option(
    help: ArgumentHelp(
      "The steps that --trace shows, counted from 1. (default: ten steps after the first ten)", valueName: "first:last")
  )
  public var traceSteps: TraceSteps?

  // MARK: Evaluation, checkpoints, output

  /// Steps between log lines.
  @Option(help: "Steps between lines of metrics.")
  public var logEvery: Int = 100

  /// Steps between evaluations at x; nil: every epoch. 0: only at the end.
  @Option(help: "Steps between evaluations; 0: only at the end. (default: every epoch)")
  public var evaluateEvery: Int?

  /// Which ranks evaluate.
  @Option(help: "Who evaluates: \(EvaluateOn.allValueStrings.joined(separator: "|")).")
  public var evaluateOn: EvaluateOn = .all

  /// The views of each test image whose outputs are averaged.
  @Option(
    help: """
      What an evaluation looks at, averaging the outputs: \(EvaluationViews.allValueStrings.joined(separator: "|")): the \
      image; it and its mirror image; both, also moved by one pixel.
      """)
  public var evaluateViews: EvaluationViews = .plain

  /// Training batches of each lane that batch normalisation's statistics at x are computed over.
  @Option(
    help: """
      Training batches a lane from which batch normalisation's statistics at x are computed before each evaluation and \
      checkpoint; 0: use the running ones, which are of y.
      """)
  public var statisticsBatches: Int = 50

  /// Steps between checkpoints; nil: every epoch. 0: only at the end.
  @Option(help: "Steps between checkpoints; 0: only at the end. (default: every epoch)")
  public var checkpointEvery: Int?

  /// Checkpoints kept, the best one beside them.
  @Option(help: "Newest checkpoints to keep; the best is kept as well.")
  public var keep: Int = 3

  /// `auto`, or a run or checkpoint folder.
  @Option(help: "Continue a run: 'auto' for the newest one here, or the folder of a run or checkpoint.")
  public var resume: String?

  /// The folder that run folders are made in.
  @Option(help: "Folder in which each run makes its own.")
  public var output: String = "runs"

  /// Prints errors and the final result only.
  @Flag(help: "Print only the final result.")
  public var quiet = false

  /// All values at their defaults.
  public init() {}

  /// All flags that decide which collective calls a rank makes, and when: ranks that differ in one would wait for
  /// each other for ever. What decides the arithmetic is compared besides, by ``RunSettings``.
  func fingerprint(program: String) -> Fingerprint {
    func text(_ value: (some CustomStringConvertible)?) -> String { value.map { "\($0)" } ?? "default" }
    var fingerprint = Fingerprint()
    fingerprint.add("program", program)
    fingerprint.add("--epochs", text(epochs))
    fingerprint.add("--steps", text(steps))
    fingerprint.add("--batch-size", batchSize)
    fingerprint.add("--accumulate", accumulate)
    fingerprint.add("--lanes", text(lanes))
    fingerprint.add("--last-batch", lastBatch.rawValue)
    fingerprint.add("--optimizer", optimizer.name)
    fingerprint.add("--clip-norm", text(clipNorm))
    fingerprint.add("--on-nonfinite", onNonfinite.rawValue)
    fingerprint.add("--nonfinite-limit", nonfiniteLimit)
    fingerprint.add("--exchange", exchange.rawValue)
    fingerprint.add("--stall-timeout", stallTimeout)
    fingerprint.add("--mixed-hosts", mixedHosts.rawValue)
    for (name, value) in betweenNodes.settings { fingerprint.add(name, value) }
    fingerprint.add("--trace", text(trace))
    fingerprint.add("--trace-steps", text(traceSteps))
    fingerprint.add("--log-every", logEvery)
    fingerprint.add("--evaluate-every", text(evaluateEvery))
    fingerprint.add("--evaluate-on", evaluateOn.rawValue)
    fingerprint.add("--evaluate-views", evaluateViews.rawValue)
    fingerprint.add("--statistics-batches", statisticsBatches)
    fingerprint.add("--batch-statistics", batchStatistics.rawValue)
    fingerprint.add("--precision", precision.rawValue)
    fingerprint.add("--without-bfloat16", withoutBfloat16.rawValue)
    fingerprint.add("--checkpoint-every", text(checkpointEvery))
    fingerprint.add("--resume", text(resume))
    fingerprint.add("--initial-weights", text(initialWeights))
    return fingerprint
  }

  /// Refuses values that are impossible by themselves or contradict each other. Called by the argument parser.
  ///
  /// - Throws: `ValidationError` with a message that names the flag, the value and what is allowed.
  public func validate() throws {
    func require(_ condition: Bool, _ flag: String, _ value: some CustomStringConvertible, _ expected: String) throws {
      guard condition else { throw ValidationError("\(flag) is \(value); expected \(expected)") }
    }
    try require(batchSize >= 1 && batchSize <= 1 << 20, "--batch-size", batchSize, "1 to 1048576")
    try require(accumulate >= 1 && accumulate <= 1 << 20, "--accumulate", accumulate, "1 to 1048576")
    if let lanes { try require(lanes >= 1 && lanes <= 1 << 20, "--lanes", lanes, "1 to 1048576") }
    if epochs != nil && steps != nil {
      throw ValidationError("--epochs and --steps both say when to stop; give one of them")
    }
    if let epochs { try require(epochs >= 1 && epochs <= 1 << 31, "--epochs", epochs, "1 or more") }
    let largest = Self.largestStepCount
    func requireCount(_ value: Int?, from smallest: Int, _ flag: String) throws {
      guard let value else { return }
      try require(value >= smallest && value <= largest, flag, value, "\(smallest) to \(largest)")
    }
    try requireCount(steps, from: 1, "--steps")
    if let clipNorm { try require(clipNorm > 0 && clipNorm.isFinite, "--clip-norm", clipNorm, "a positive number") }
    try requireCount(nonfiniteLimit, from: 1, "--nonfinite-limit")
    try require(dropoutScale >= 0 && dropoutScale <= 1, "--dropout-scale", dropoutScale, "0 to 1")
    try require(
      labelSmoothing >= 0 && labelSmoothing < 1, "--label-smoothing", labelSmoothing, "0 or more, below 1")
    if let threadsPerRank {
      try require(threadsPerRank >= 1 && threadsPerRank <= 1 << 12, "--threads-per-rank", threadsPerRank, "1 to 4096")
    }
    try require(
      stallTimeout == 0 || (stallTimeout >= 2 && stallTimeout <= 1e6), "--stall-timeout", stallTimeout,
      "seconds, 2 to 1000000, or 0 for never")
    try requireCount(statisticsBatches, from: 0, "--statistics-batches")
    try requireCount(logEvery, from: 1, "--log-every")
    try requireCount(evaluateEvery, from: 0, "--evaluate-every")
    try requireCount(checkpointEvery, from: 0, "--checkpoint-every")
    try requireCount(keep, from: 1, "--keep")
    if let trace, trace.isEmpty { throw ValidationError("--trace is empty; expected a file") }
    if traceSteps != nil && trace == nil {
      throw ValidationError("--trace-steps says which steps --trace shows; give --trace FILE as well")
    }
    if resume != nil && initialWeights != nil {
      throw ValidationError(
        "--resume continues from a checkpoint's own weights; give either it or --initial-weights")
    }
    if let resume, resume.isEmpty { throw ValidationError("--resume is empty; expected 'auto' or a folder") }
    if let data, data.isEmpty { throw ValidationError("--data is empty; expected a folder") }
    if let initialWeights, initialWeights.isEmpty {
      throw ValidationError("--initial-weights is empty; expected a file")
    }
    if output.isEmpty { throw ValidationError("--output is empty; expected a folder") }
    // With a length given in steps, a schedule's warmup can be held against it already.
    if let steps {
      do {
        _ = try optimizer.makeRule(totalSteps: steps)
      } catch let error as HyperparameterError {
        throw ValidationError("--\(error)")
      }
    }
  }
}

/// Who evaluates the test set.
public enum EvaluateOn: String, ExpressibleByArgument, Sendable, CaseIterable {
  /// The test set is divided over all ranks.
  case all
  /// Rank zero evaluates the whole test set while the others wait.
  case root
}

extension Sampler.LastBatch: ExpressibleByArgument {}
extension ConvolutionAlgorithm: ExpressibleByArgument {}
extension ExchangeKind: ExpressibleByArgument {}

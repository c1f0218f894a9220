import Checkpoints
import DataParallel
import Foundation
import MPI
import Neural
import ScheduleFree
import SystemPackage

/// What a checkpoint holds besides tensors.
struct SavedState: Codable {
  var progress: RunProgress
  var counters: OptimizerCounters
  var settings: RunSettings
  /// How gradients were cut and exchanged; nil in checkpoints of versions that had no choice.
  var exchange: ExchangeTuning?
}

/// Ties a run to its folder: makes or finds it, puts the optimizer into the state it is to start from, and saves
/// checkpoints. Files are touched by rank zero alone; what it meets there, all ranks learn.
final class RunCheckpoints {
  /// Where the run begins.
  private(set) var progress = RunProgress()
  /// Something to tell the user before the run starts.
  private(set) var notice: String?
  /// Writes `metrics.jsonl`; on rank zero only.
  let metricsListener: MetricsLog?
  /// The run folder, on every rank.
  let folderPath: String

  private let world: Communicator
  private let plan: Plan
  private let optimizer: ShardedOptimizer
  private let lanes: Lanes
  private let laneStatistics: LaneStatistics
  private let settings: RunSettings
  private let tuning: ExchangeTuning
  /// Batches of a lane in a step.
  private let batchesPerStep: Int
  /// The run folder, open for writing; on rank zero only.
  private let run: OpenRun?

  /// Finds where the run starts: nowhere yet, or at the checkpoint of `--resume`. Collective; writes nothing.
  ///
  /// - Returns: what was found, on rank zero.
  /// - Throws: on every rank, what makes the start impossible.
  static func findStart(
    options: TrainingOptions, program: String, settings: RunSettings, on world: Communicator
  ) throws -> Start? {
    try world.agree(on: "the checkpoint to resume") {
      world.rank == 0 ? try Start(options: options, program: program, settings: settings) : nil
    }
  }

  /// Makes or opens the run folder, and initialises parameters and optimizer state: fresh, from `--initial-weights`,
  /// or from the checkpoint that was found. Collective.
  ///
  /// - Throws: on every rank, what makes the start impossible; nothing already saved is touched before everything was
  ///   checked.
  init(
    from start: Start?, options: TrainingOptions, program: String, settings: RunSettings, tuning: ExchangeTuning,
    totalSteps: Int, plan: Plan, optimizer: ShardedOptimizer, lanes: Lanes, laneStatistics: LaneStatistics,
    initialValues: [String: [Float]],
    on world: Communicator
  ) throws {
    self.world = world
    self.plan = plan
    self.optimizer = optimizer
    self.lanes = lanes
    self.laneStatistics = laneStatistics
    self.settings = settings
    self.tuning = tuning
    batchesPerStep = options.accumulate
    let isRoot = world.rank == 0

    let lack = try Self.initialise(
      from: start, options: options, plan: plan, optimizer: optimizer, lanes: lanes, laneStatistics: laneStatistics,
      initialValues: initialValues, world: world)
    let progress = try world.broadcast(value: start?.state?.progress ?? RunProgress(), root: 0)
    self.progress = progress
    notice = lack ?? start?.notice

    // Only now, with everything checked, is anything written.
    let hosts = try world.allGather(MPIRuntime.hostName)
    let run = try world.agree(on: "the run folder") { () throws -> OpenRun? in
      // A run that is at its end already is evaluated once more and left as it is.
      guard isRoot, progress.step < totalSteps else { return nil }
      let session = RunDescription.Session(
        arguments: CommandLine.arguments, firstStep: progress.step, totalSteps: totalSteps, hosts: hosts,
        started: ISO8601DateFormatter().string(from: Date()), settings: settings, exchange: tuning,
        versions: Versions.all,
        job: JobName.current, restart: JobName.restartReason)
      return try OpenRun(
        continuing: start?.point, reusing: start?.emptyRun, options: options, program: program, session: session)
    }
    self.run = run
    metricsListener = run.map { MetricsLog($0.metrics) }
    let folder = run?.folder ?? start?.point?.run
    folderPath = try world.broadcast(value: folder?.path.string ?? "none", root: 0)
  }

  /// Saves a checkpoint of the state after `progress.step` steps. Collective.
  ///
  /// - Parameters:
  ///   - accuracy: accuracy at x after this step, if it was evaluated: the best checkpoint is kept by it.
  ///   - statistics: running statistics at x; those of training are the plan's.
  /// - Returns: the folder, on rank zero.
  /// - Throws: on every rank, if the checkpoint could not be written or holds something else than numbers; earlier
  ///   ones are then as they were.
  func save(
    _ progress: RunProgress, accuracy: Double?, statistics: [Float]
  ) throws -> (path: String, warnings: [String])? {
    let slots = optimizer.rule.stateSlots
    var arenas: [AlignedBuffer] = []
    for slot in slots.indices {
      if let arena = try optimizer.gatherState(slot: slot) { arenas.append(arena) }
    }
    let savedStatistics = SavedStatistics(plan: plan, lanes: lanes)
    let running = try savedStatistics.optimizerTensors(laneStatistics, on: world)
    return try world.agree(on: "the checkpoint") { () throws -> (path: String, warnings: [String])? in
      if let value = laneStatistics.rows.joined().first(where: { !$0.isFinite }) {
        throw TrainingError.diverged(what: "a running statistic of training", value: Double(value), step: progress.step)
      }
      guard let run else { return nil }
      if let value = statistics.first(where: { !$0.isFinite }) {
        throw TrainingError.diverged(
          what: "a running statistic at x", value: Double(value), step: progress.step)
      }
      try refuseDivergence(arenas, step: progress.step)
      try run.metrics.synchronize()
      let evaluationSlot = optimizer.rule.evaluationSlot
      var optimizerTensors: [TensorToWrite] = []
      for (index, slot) in slots.enumerated() where index != evaluationSlot {
        optimizerTensors += tensors(of: arenas[index], prefix: slot.name + ".")
      }
      let model =
        tensors(of: arenas[evaluationSlot], prefix: "")
        + savedStatistics.modelTensors(statistics, batches: progress.step * batchesPerStep)
      let saved = try run.store.save(
        step: progress.step, model: model, optimizer: optimizerTensors + running,
        metadata: ["format": "pt"], metric: accuracy,
        state: SavedState(progress: progress, counters: optimizer.counters, settings: settings, exchange: tuning))
      return (saved.folder.string, saved.warnings)
    }
  }

  /// Such a checkpoint would be of no use, and would in time push out the good ones.
  private func refuseDivergence(_ arenas: [AlignedBuffer], step: Int) throws {
    for (slot, arena) in zip(optimizer.rule.stateSlots, arenas) {
      for index in 0..<arena.count where !arena.pointer[index].isFinite {
        throw TrainingError.diverged(
          what: "an element of \(slot.name)", value: Double(arena.pointer[index]), step: step)
      }
    }
  }

  /// The tensors of an arena in canonical layout, named `prefix` + PyTorch's name. They are converted one at a time,
  /// when written.
  private func tensors(of arena: AlignedBuffer, prefix: String) -> [TensorToWrite] {
    let plan = self.plan
    return plan.layout.tensors.enumerated().map { index, tensor in
      TensorToWrite(prefix + tensor.name, shape: tensor.shape) { buffer in
        guard let base = buffer.baseAddress else { return }
        try plan.writeCanonical(tensor: index, from: arena.pointer, to: base)
      }
    }
  }

  // MARK: - Starting

  /// What rank zero found out about where to start, before anything was written.
  struct Start {
    var point: ResumePoint?
    /// The run that this job began before, if it saved nothing.
    var emptyRun: RunFolder?
    var state: SavedState?
    var notice: String?

    init(options: TrainingOptions, program: String, settings: RunSettings) throws {
      var notes: [String] = []
      // A job that was started again goes on with its own run, whatever it was started from at first.
      if let job = JobName.current,
        let run = try RunFolder.ofJob(job, root: FilePath(options.output), name: program)
      {
        let found = try run.newestPoint()
        notes = found.damaged.map(\.description)
        point = found.point
        if point == nil { emptyRun = run }
      }
      if point == nil, let resume = options.resume {
        try find(resume, options: options, program: program, notes: &notes)
      }
      if let checkpoint = point?.checkpoint {
        let saved: SavedState = try checkpoint.state()
        if let note = try settings.verifyCanContinue(from: saved.settings, path: checkpoint.folder.string) {
          notes.append(note)
        }
        state = saved
      }
      notice = notes.isEmpty ? nil : notes.joined(separator: "\n      ")
    }

    /// Finds what `--resume` names.
    private mutating func find(
      _ resume: String, options: TrainingOptions, program: String, notes: inout [String]
    ) throws {
      if resume == "auto" {
        let found = try RunFolder.newestResumable(root: FilePath(options.output), name: program)
        notes += found.damaged.map(\.description)
        point = found.point
        if point == nil { notes.append("nothing to resume in \(options.output): starting a new run") }
      } else {
        let found = try RunFolder.resume(from: FilePath(resume))
        notes += found.damaged.map(\.description)
        point = found
      }
    }
  }

  /// Puts parameters, running statistics and optimizer state where the run starts.
  ///
  /// - Returns: what the initial weights lack, in words, on rank zero.
  private static func initialise(
    from start: Start?, options: TrainingOptions, plan: Plan, optimizer: ShardedOptimizer, lanes: Lanes,
    laneStatistics: LaneStatistics, initialValues: [String: [Float]], world: Communicator
  ) throws -> String? {
    let saved = SavedStatistics(plan: plan, lanes: lanes)
    let resumes = try world.broadcast(value: start?.point != nil, root: 0)
    if resumes {
      let slots = optimizer.rule.stateSlots
      var arenas: [AlignedBuffer] = []
      for (index, slot) in slots.enumerated() {
        arenas.append(
          try loadedArena(plan: plan, world: world) { arena in
            guard let checkpoint = start?.point?.checkpoint else { return }
            let isModel = index == optimizer.rule.evaluationSlot
            let file = isModel ? try checkpoint.model() : try checkpoint.optimizer()
            try read(file, prefix: isModel ? "" : slot.name + ".", into: arena, plan: plan)
          })
      }
      let counters: OptimizerCounters = try world.broadcast(value: start?.state?.counters, root: 0)
      try optimizer.restore(counters: counters, arenas: arenas)
      try saved.restore(laneStatistics, from: start?.point?.checkpoint, on: world)
    } else if let path = options.initialWeights {
      var lack: String?
      let arena = try loadedArena(plan: plan, world: world) { arena in
        let file = try SafetensorsFile(FilePath(path))
        try saved.check(file)
        try read(file, prefix: "", into: arena, plan: plan)
        (plan.runningStatistics, lack) = try saved.values(of: file)
      }
      let statistics = try world.broadcast(value: plan.runningStatistics, root: 0)
      laneStatistics.rows = [[Float]](repeating: statistics, count: lanes.perRank)
      try optimizer.initializeParameters { $0.update(from: arena.pointer, count: arena.count) }
      return lack
    } else {
      try optimizer.initializeParameters { arena in
        try plan.initializeParameters(seed: options.seed, into: arena)
        for (name, values) in initialValues { try plan.setParameter(name, to: values, in: arena) }
      }
    }
    return nil
  }

  /// An arena that rank zero fills from a file, on every rank.
  private static func loadedArena(
    plan: Plan, world: Communicator, fill: (AlignedBuffer) throws -> Void
  ) throws -> AlignedBuffer {
    let arena = try AlignedBuffer(count: plan.layout.count, for: "loaded parameters")
    try world.agree(on: "the saved parameters") { if world.rank == 0 { try fill(arena) } }
    try world.broadcast(
      UnsafeMutableRawBufferPointer(UnsafeMutableBufferPointer(start: arena.pointer, count: arena.count)), root: 0)
    return arena
  }

  private static func read(
    _ file: borrowing SafetensorsFile, prefix: String, into arena: AlignedBuffer, plan: Plan
  ) throws {
    for (index, tensor) in plan.layout.tensors.enumerated() {
      let canonical = try AlignedBuffer(count: tensor.elementCount, for: tensor.name)
      try file.read(
        prefix + tensor.name, shape: tensor.shape,
        into: UnsafeMutableBufferPointer(start: canonical.pointer, count: tensor.elementCount))
      try plan.readCanonical(tensor: index, from: canonical.pointer, to: arena.pointer)
    }
  }
}

import Atomics

/// Where a rank is, in memory that its own threads write and the watchdogs of all ranks of its node read.
///
/// Every field is an atomic that is stored and loaded with relaxed ordering: no other memory is read because of what a
/// field says. A reader may see the phase of one moment with the bucket of the next. That does no harm, as a verdict is
/// made only of records that have not changed for a long time.
struct ProgressRecord {
  /// Bytes of a record: each lane and the heartbeat on a pair of cache lines of their own, as different threads write
  /// them (adjacent lines are fetched in pairs).
  static let byteCount = 384

  /// What one thread does.
  struct Lane {
    /// When the thread last changed anything here, in nanoseconds of the node's monotonic clock.
    let changed: UnsafeAtomic<Int>
    /// A ``Phase``.
    let phase: UnsafeAtomic<UInt8>
    /// The step at hand, counted from 1; 0 before the first.
    let step: UnsafeAtomic<Int>
    /// The bucket at hand, where the phase has one.
    let bucket: UnsafeAtomic<Int>
    /// Buckets of the step at hand whose gradients this rank has announced.
    let announced: UnsafeAtomic<Int>

    fileprivate init(_ memory: UnsafeMutableRawPointer) {
      changed = counter(memory, at: 0)
      step = counter(memory, at: 8)
      bucket = counter(memory, at: 16)
      announced = counter(memory, at: 24)
      phase = UnsafeAtomic(
        at: (memory + 32).bindMemory(to: UnsafeAtomic<UInt8>.Storage.self, capacity: 1))
    }

    /// What the lane says now.
    var state: LaneState {
      LaneState(
        phase: Phase(rawValue: phase.load(ordering: .relaxed)) ?? .starting, step: step.load(ordering: .relaxed),
        bucket: bucket.load(ordering: .relaxed), announced: announced.load(ordering: .relaxed),
        changed: changed.load(ordering: .relaxed))
    }
  }

  /// The thread that computes.
  let main: Lane
  /// The thread that communicates, where there is one; else ``Phase/idle``.
  let communication: Lane
  /// When the rank's watchdog last ran, in nanoseconds of the node's monotonic clock.
  let heartbeat: UnsafeAtomic<Int>
  /// Not 0 once a rank of the node has taken it on itself to end the job: the others then keep silent.
  let verdict: UnsafeAtomic<Int>

  /// Views `memory`: ``byteCount`` bytes on a multiple of 64, zero at first.
  ///
  /// Sound because zero is a valid initial value of each atomic's storage; whoever makes the view keeps the memory for
  /// as long as the view is used.
  init(_ memory: UnsafeMutableRawPointer) {
    main = Lane(memory)
    communication = Lane(memory + 128)
    heartbeat = counter(memory, at: 256)
    verdict = counter(memory, at: 264)
  }
}

private func counter(_ memory: UnsafeMutableRawPointer, at offset: Int) -> UnsafeAtomic<Int> {
  UnsafeAtomic(at: (memory + offset).bindMemory(to: UnsafeAtomic<Int>.Storage.self, capacity: 1))
}

/// What one thread of a rank was doing at a time.
struct LaneState: Sendable, Equatable {
  var phase = Phase.starting
  var step = 0
  var bucket = 0
  var announced = 0
  /// Nanoseconds, on the clock of whoever reads it.
  var changed = 0
}

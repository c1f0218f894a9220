import Foundation

/// Lets only so many jobs run at once: ranks spin while they wait, and many jobs on few cores starve each other.
actor JobSlots {
  static let shared = JobSlots(count: max(1, ProcessInfo.processInfo.activeProcessorCount / 4))

  private var free: Int
  private var waiting: [CheckedContinuation<Void, Never>] = []

  init(count: Int) { free = count }

  /// Returns when the caller may start its job; it must call `release` when the job has ended.
  func acquire() async {
    if free > 0 {
      free -= 1
    } else {
      await withCheckedContinuation { waiting.append($0) }
    }
  }

  /// Hands the slot to whoever has waited longest.
  func release() {
    if waiting.isEmpty { free += 1 } else { waiting.removeFirst().resume() }
  }
}

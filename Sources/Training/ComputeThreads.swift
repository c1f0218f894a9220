import Foundation
import Glibc

/// The threads that oneDNN computes with in this process.
enum ComputeThreads {
  /// Sets their number for all that the calling thread starts, before plans are made: oneDNN divides work, and memory
  /// to work in, by it.
  ///
  /// oneDNN itself has no call for this. As distributions build it, it computes with OpenMP; the run-time library of
  /// that is looked up in the process rather than linked, since it is oneDNN's choice which one that is.
  ///
  /// - Throws: ``TrainingError/threadsFixed(wanted:)``.
  static func set(_ count: Int) throws {
    // A nil handle means all libraries of the process in the order in which they were loaded, as RTLD_DEFAULT does.
    guard let symbol = dlsym(nil, "omp_set_num_threads"), let number = Int32(exactly: count) else {
      throw TrainingError.threadsFixed(wanted: count)
    }
    unsafeBitCast(symbol, to: (@convention(c) (Int32) -> Void).self)(number)
  }

  /// What a person should know of so many threads in this process; nil where all is well.
  static func notice(_ count: Int) -> String? {
    let cores = ProcessInfo.processInfo.activeProcessorCount
    guard count > cores else { return nil }
    return "--threads-per-rank \(count), but a rank may use \(cores) \(cores == 1 ? "core" : "cores") only, which is "
      + "slow; launch/run --threads \(count) gives each rank as many cores as threads"
  }
}

import Foundation
import Glibc
import MPI

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

  /// Their number in this process; nil where oneDNN computes with something else than OpenMP.
  static var current: Int? {
    guard let symbol = dlsym(nil, "omp_get_max_threads") else { return nil }
    return Int(unsafeBitCast(symbol, to: (@convention(c) () -> Int32).self)())
  }

  /// The number of each rank's threads, as a setting of the run: oneDNN divides some sums over them, so that other
  /// numbers of threads change last bits. Collective.
  ///
  /// - Returns: the number, or the least and the largest; and where they differ what a person should know.
  /// - Throws: `MPIError`.
  static func describe(on world: Communicator) throws -> (setting: String, notice: String?) {
    let counts = try world.allGather(current ?? 0)
    let (least, largest) = (counts.min() ?? 0, counts.max() ?? 0)
    guard least < largest else { return (least == 0 ? "not known" : "\(least)", nil) }
    return (
      "\(least) to \(largest)",
      "ranks compute with \(least) to \(largest) threads, so last bits depend on which rank computes what; "
        + "--threads-per-rank, or OMP_NUM_THREADS on all hosts, makes them the same"
    )
  }

  /// What a person should know of so many threads in this process; nil where all is well.
  static func notice(_ count: Int) -> String? {
    let cores = ProcessInfo.processInfo.activeProcessorCount
    guard count > cores else { return nil }
    return "--threads-per-rank \(count), but a rank may use \(cores) \(cores == 1 ? "core" : "cores") only, which is "
      + "slow; launch/run --threads \(count) gives each rank as many cores as threads"
  }
}

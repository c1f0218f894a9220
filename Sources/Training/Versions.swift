import Foundation
import MPI
import Neural

/// Versions of what a run computes with, for `run.json`.
enum Versions {
  /// Name and version of each part.
  static var all: [String: String] {
    var versions = ["MPI": MPIRuntime.libraryVersion, "oneDNN": Plan.libraryVersion]
    versions["operating system"] = ProcessInfo.processInfo.operatingSystemVersionString
    return versions
  }
}

import ArgumentParser
import Foundation
import MPI
import Training

/// Looks at the hosts of a job, and says what to change.
struct Doctor: ParallelCommand {
  static let savesOnSignals = false

  static let configuration = CommandConfiguration(
    commandName: "doctor",
    abstract: "Describes each host of a job, a page each, and says what is wrong or slow, and what to do.",
    discussion: """
      Started like a training program: alone for this machine, with launch/run or mpirun for all hosts of a job, bound \
      and mapped as the job will be. Exit code 0 where nothing is wrong; 1 where training would fail or be refused.
      """)

  @Option(help: "Also write all facts and findings to this file, as JSON.")
  var json: String?

  func run(on world: Communicator) throws -> Int32 {
    let file = try world.agree(on: "--json") { world.rank == 0 ? try json.map { try ReportFile($0) } : nil }
    defer { file?.discard() }
    let facts = try HostFacts.gather(on: world)
    let clocks = try Self.clockSkews(on: world)
    let diagnosis = Diagnosis(
      facts: facts, clockSkews: clocks, singleCopy: try SingleCopy.check(on: world), launchedWith: Self.launcher)
    if world.rank == 0 { print(diagnosis.text) }
    try world.agree(on: "--json") { try file?.write(json: diagnosis) }
    return diagnosis.isHealthy ? 0 : 1
  }

  /// By how many seconds each rank's wall clock is ahead of rank zero's; only a difference that messages do not explain
  /// is told.
  private static func clockSkews(on world: Communicator) throws -> [Double] {
    // All read their clocks within the time that a barrier takes to let them go; the smallest of several differences is
    // the least disturbed.
    var smallest = [Double](repeating: .infinity, count: world.size)
    for _ in 0..<5 {
      try world.barrier()
      let times = try world.allGather(Date().timeIntervalSince1970)
      for (rank, time) in times.enumerated() where abs(time - times[0]) < abs(smallest[rank]) {
        smallest[rank] = time - times[0]
      }
    }
    return smallest
  }

  private static var launcher: String {
    ProcessInfo.processInfo.environment["OMPI_COMM_WORLD_SIZE"] == nil ? "no mpirun" : "mpirun"
  }
}

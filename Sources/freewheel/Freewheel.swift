import ArgumentParser
import MPI
import Training

/// The tool beside the trainers: looks into files and measures.
@main
struct Freewheel: ParallelCommand {
  static let savesOnSignals = false

  static let configuration = CommandConfiguration(
    commandName: "freewheel",
    abstract: "Looks into Freewheel's files and hosts, and measures its parts.",
    subcommands: [Benchmark.self, Doctor.self, Estimate.self, Gradients.self, Inspect.self, Optimizers.self])

  func run(on world: Communicator) throws -> Int32 { throw CleanExit.helpRequest(self) }
}

/// Groups the benchmarks.
struct Benchmark: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Measures parts of a training step on this machine.",
    subcommands: [
      DataBenchmark.self, ExchangeBenchmark.self, NetworkBenchmark.self, PlanBenchmark.self, UpdateBenchmark.self,
    ])
}

// Starts the package's built programs under mpirun (or alone), for tests of every room.
import Foundation

/// Why a program could not be started by a test.
public struct RunnerError: Error, CustomStringConvertible {
  /// One line: what was looked for, where, and what to do.
  public let description: String
}

/// Starts programs of this package from tests, under mpirun or alone, with a hard limit on their time.
///
/// ```swift
/// let result = try await MPIRunner.run("mpi-probe", ["all-reduce", "--count", "7"], ranks: 2)
/// #expect(result.exitCode == 0, "\(result)")
/// ```
///
/// However many tests run at once, only as many jobs run as the machine has room for; the others wait for their turn,
/// and their time limit counts from their own start.
public enum MPIRunner {
  /// Runs `program` on `ranks` ranks under mpirun and waits for its end.
  ///
  /// - Parameters:
  ///   - program: name of an executable target of this package, or an absolute path.
  ///   - ranks: number of ranks; more than the machine has cores is fine.
  ///   - environment: variables added to the test's own environment.
  ///   - mpirunFlags: flags put before the program, for instance `["--mca", "osc_sm_backing_directory", "/tmp"]`.
  ///   - directory: working directory; the test's own when nil.
  ///   - timeLimit: after this the whole job is ended and the result says `timedOut`.
  /// - Throws: `RunnerError` when the program is not built or mpirun is not installed.
  public static func run(
    _ program: String, _ arguments: [String] = [], ranks: Int, environment: [String: String] = [:],
    mpirunFlags: [String] = [], directory: String? = nil, timeLimit: Duration = .seconds(60)
  ) async throws -> JobResult {
    try await start(
      program, arguments, ranks: ranks, environment: environment, mpirunFlags: mpirunFlags, directory: directory,
      timeLimit: timeLimit
    ).result()
  }

  /// Starts `program` under mpirun and returns while it runs, so that a test can signal it or kill a rank.
  /// Parameters and errors are those of `run`.
  public static func start(
    _ program: String, _ arguments: [String] = [], ranks: Int, environment: [String: String] = [:],
    mpirunFlags: [String] = [], directory: String? = nil, timeLimit: Duration = .seconds(60)
  ) async throws -> Job {
    var flags = ["-n", String(ranks), "--oversubscribe", "--bind-to", "none", "--mca", "mpi_yield_when_idle", "1"]
    if geteuid() == 0 { flags.append("--allow-run-as-root") }
    // Should the test process itself be killed, nothing of ours is left to end the job: mpirun's own clock then does.
    flags += ["--timeout", String(timeLimit.components.seconds + 30)]
    return try await Job.start(
      executable: try findMPIRun(), arguments: flags + mpirunFlags + [try locate(program)] + arguments,
      environment: environment, directory: directory, timeLimit: timeLimit)
  }

  /// Runs `program` without mpirun, as a user does who types its name, and waits for its end.
  /// Parameters and errors are those of `run`.
  public static func runAlone(
    _ program: String, _ arguments: [String] = [], environment: [String: String] = [:], directory: String? = nil,
    timeLimit: Duration = .seconds(60)
  ) async throws -> JobResult {
    try await startAlone(
      program, arguments, environment: environment, directory: directory, timeLimit: timeLimit
    ).result()
  }

  /// Starts `program` without mpirun and returns while it runs. Parameters and errors are those of `run`.
  public static func startAlone(
    _ program: String, _ arguments: [String] = [], environment: [String: String] = [:], directory: String? = nil,
    timeLimit: Duration = .seconds(60)
  ) async throws -> Job {
    try await Job.start(
      executable: try locate(program), arguments: arguments, environment: environment, directory: directory,
      timeLimit: timeLimit)
  }

  /// The absolute path of a built program: it lies beside the test bundle, in `.build/<configuration>/`.
  /// - Throws: `RunnerError` when there is none.
  public static func locate(_ program: String) throws -> String {
    if program.hasPrefix("/") { return program }
    let bundle = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
    let folder = (bundle as NSString).deletingLastPathComponent
    let path = (folder as NSString).appendingPathComponent(program)
    guard FileManager.default.isExecutableFile(atPath: path) else {
      throw RunnerError(
        description: "no program '\(program)' in \(folder): is it an executable target of the package, and built?")
    }
    return path
  }

  /// The root of the package: where `Package.swift` is.
  public static let packageRoot: String = {
    var folder = #filePath as NSString  // …/Tests/TestSupport/MPIRunner.swift
    for _ in 0..<3 { folder = folder.deletingLastPathComponent as NSString }
    return folder as String
  }()

  private static func findMPIRun() throws -> String {
    let searched = ProcessInfo.processInfo.environment["PATH"] ?? "/usr/local/bin:/usr/bin:/bin"
    for folder in searched.split(separator: ":") {
      let path = "\(folder)/mpirun"
      if FileManager.default.isExecutableFile(atPath: path) { return path }
    }
    throw RunnerError(description: "no mpirun in PATH (\(searched)): install Open MPI (Debian: openmpi-bin)")
  }
}

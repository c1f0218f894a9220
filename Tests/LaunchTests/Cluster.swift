import Foundation
import TestSupport
import Testing

/// The cluster that `Tests/Cluster/cluster` makes on this machine, for tests that need several hosts.
enum Cluster {
  /// The script.
  static let script = packageRoot.appendingPathComponent("Tests/Cluster/cluster").path

  /// Whether a cluster can be made here. Says why not, once. With FREEWHEEL_CLUSTER_TESTS=required, as in CI where it
  /// can, tests run in any case, and fail where it cannot.
  static let isAvailable: Bool = {
    if ProcessInfo.processInfo.environment["FREEWHEEL_CLUSTER_TESTS"] == "required" { return true }
    guard let outcome = try? run(["check"]) else { return false }
    if outcome.code != 0 {
      FileHandle.standardError.write(
        Data("TESTS ON SEVERAL HOSTS ARE SKIPPED: \(outcome.errors)".utf8))
    }
    return outcome.code == 0
  }()

  /// What a skipped test says.
  static let skipped: Comment = "no cluster can be made here; Tests/Cluster/cluster check says why"

  /// A name that no other cluster has.
  static func newName() -> String { "test-\(UUID().uuidString.prefix(8))" }

  /// Runs a command of the script, or of another one beside it, to its end and beside other jobs. For short ones.
  static func run(_ arguments: [String], name: String? = nil, script: String = script) throws -> Outcome {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = ["bash", script] + arguments
    var variables = ProcessInfo.processInfo.environment.filter { !$0.key.contains("_CLUSTER") }
    if let name { variables["FREEWHEEL_CLUSTER"] = name }
    process.environment = variables
    let (output, errors) = (Pipe(), Pipe())
    (process.standardOutput, process.standardError) = (output, errors)
    process.standardInput = FileHandle.nullDevice
    try withNoSignalBlocked { try process.run() }
    process.waitUntilExit()
    return Outcome(
      code: process.terminationStatus,
      output: String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self),
      errors: String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self))
  }

  /// Starts a command with a cluster around it, which is gone when the job is.
  static func with(
    _ shape: String, name: String = newName(), options: [String] = [], environment: [String: String] = [:],
    _ command: [String], timeLimit: Duration = .seconds(120)
  ) async throws -> Job {
    try await Job.start(
      executable: "/usr/bin/env",
      arguments: ["bash", script, "with", "--name", name, shape] + options + ["--"] + command,
      environment: environment, timeLimit: timeLimit)
  }

  /// Runs a shell script with a cluster around it; `$cluster` in it is the cluster's script.
  static func shell(
    _ shape: String, name: String = newName(), options: [String] = [], _ text: String,
    timeLimit: Duration = .seconds(120)
  ) async throws -> JobResult {
    try await with(
      shape, name: name, options: options, ["bash", "-c", "set -euo pipefail; cluster=$0; \(text)", script],
      timeLimit: timeLimit
    ).result()
  }

  /// Numbers of processes, seen from outside, that run on the hosts of a cluster.
  static func processes(of name: String) -> [Int32] {
    let all = ((try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []).compactMap { Int32($0) }
    return all.filter { process in
      guard
        let environment = FileManager.default.contents(atPath: "/proc/\(process)/environ"),
        let status = try? String(contentsOfFile: "/proc/\(process)/status", encoding: .utf8)
      else { return false }
      let isRunning = !status.contains("State:\tZ") && !status.contains("State:\tX")
      return isRunning && environment.split(separator: 0).contains(Data("TEST_CLUSTER_INSIDE=\(name)".utf8))
    }
  }

  /// The process of a rank on a cluster; nil if there is none now.
  static func process(ofRank rank: Int, on name: String) -> Int32? {
    processes(of: name).first { process in
      FileManager.default.contents(atPath: "/proc/\(process)/environ")?.split(separator: 0)
        .contains(Data("OMPI_COMM_WORLD_RANK=\(rank)".utf8)) == true
    }
  }

  /// Where the script keeps what it knows of a cluster.
  static func stateFolder(of name: String) -> String { "/tmp/freewheel-clusters-\(geteuid())/\(name)" }
}

import Foundation
import Synchronization

/// How a job ended and what it said.
public struct JobResult: Sendable, CustomStringConvertible {
  /// The exit code; 128 + the signal's number when a signal ended the process, as a shell reports it.
  public let exitCode: Int32
  /// The job was still running at its time limit and was ended.
  public let timedOut: Bool
  /// Processes of the job that outlived its first process by more than a grace time, and were then killed.
  public let survivors: Int
  /// Everything written to standard output, of all ranks.
  public let standardOutput: String
  /// Everything written to standard error, of all ranks, with mpirun's own messages.
  public let standardError: String
  /// The command line, for messages.
  public let command: String

  /// Everything a failed expectation needs to show.
  public var description: String {
    "\(command)\nexit code \(exitCode)\(timedOut ? ", ended at its time limit" : ""), \(survivors) survivors\n"
      + "--- standard output\n\(standardOutput)\n--- standard error\n\(standardError)"
  }
}

/// A running program and all its children: one session, so that nothing of it can outlive a test.
///
/// mpirun puts every rank into a process group of its own, so a group cannot be killed as a whole; but all of them stay
/// in the session that the job's first process leads, and a session's members are found in /proc.
public final class Job: Sendable {
  /// The first process: mpirun, or the program itself when it runs alone.
  public let processIdentifier: pid_t
  private let output: CapturedStream
  private let errorOutput: CapturedStream
  private let supervisor: Task<JobResult, Never>

  /// Starts `executable` as the leader of a new session, standard input empty, both outputs captured.
  ///
  /// The job gets the test's environment with one OpenMP thread a rank and without the variables of an MPI job the
  /// tests themselves may run in; `environment` overrides. Waits for a free slot first (see `JobSlots`).
  /// - Throws: `RunnerError` when the process cannot be created.
  public static func start(
    executable: String, arguments: [String], environment: [String: String] = [:], directory: String? = nil,
    timeLimit: Duration = .seconds(60)
  ) async throws -> Job {
    await JobSlots.shared.acquire()
    do {
      return try Job(
        executable: executable, arguments: arguments, environment: environment, directory: directory,
        timeLimit: timeLimit)
    } catch {
      await JobSlots.shared.release()
      throw error
    }
  }

  private init(
    executable: String, arguments: [String], environment: [String: String], directory: String?, timeLimit: Duration
  ) throws {
    var variables = ProcessInfo.processInfo.environment.filter { variable in
      !["OMPI_", "PMIX_", "ORTE_"].contains { variable.key.hasPrefix($0) } || variable.key.hasPrefix("OMPI_MCA_")
    }
    variables["OMP_NUM_THREADS"] = "1"
    variables.merge(environment) { _, new in new }

    let output = try CapturedStream(name: "stdout")
    let errorOutput = try CapturedStream(name: "stderr")
    let process = try spawn(
      executable: executable, arguments: arguments, environment: variables, directory: directory,
      output: output.descriptor, errorOutput: errorOutput.descriptor)
    let command = ([executable] + arguments).joined(separator: " ")
    self.processIdentifier = process
    self.output = output
    self.errorOutput = errorOutput
    self.supervisor = Task.detached {
      let (exitCode, timedOut) = await Job.waitForEnd(of: process, timeLimit: timeLimit)
      let survivors = await Job.clearSession(of: process)
      await JobSlots.shared.release()
      return JobResult(
        exitCode: exitCode, timedOut: timedOut, survivors: survivors, standardOutput: output.text,
        standardError: errorOutput.text, command: command)
    }
  }

  /// Waits for the end of the job. When the waiting task is cancelled the job is killed.
  public func result() async -> JobResult {
    await withTaskCancellationHandler {
      await supervisor.value
    } onCancel: {
      killAll()
    }
  }

  /// What the job has written so far.
  public var standardOutput: String { output.text }
  /// What the job has written to standard error so far.
  public var standardError: String { errorOutput.text }

  /// Waits until standard output or standard error holds `text`; false when it did not within `limit` or before the end
  /// of the job.
  public func waitForOutput(_ text: String, within limit: Duration = .seconds(30)) async -> Bool {
    let deadline = ContinuousClock.now + limit
    while ContinuousClock.now < deadline {
      let ended = kill(processIdentifier, 0) != 0
      if output.text.contains(text) || errorOutput.text.contains(text) { return true }
      if ended { return false }
      try? await Task.sleep(for: .milliseconds(10))
    }
    return false
  }

  /// Sends a signal to the first process: to mpirun, which passes SIGTERM, SIGINT, SIGUSR1 and SIGUSR2 on to the ranks.
  public func send(signal: Int32) {
    _ = kill(processIdentifier, signal)
  }

  /// The process of a rank, found by the rank number that mpirun gave it; nil when it has not started or has ended.
  public func process(ofRank rank: Int) -> pid_t? {
    ProcessTable.members(ofSession: processIdentifier).first {
      ProcessTable.environmentValue("OMPI_COMM_WORLD_RANK", of: $0) == String(rank)
    }
  }

  /// Sends a signal to one rank only, for instance SIGKILL; false when there is no such rank now.
  @discardableResult
  public func send(signal: Int32, toRank rank: Int) -> Bool {
    guard let process = process(ofRank: rank) else { return false }
    return kill(process, signal) == 0
  }

  /// Kills every process of the job at once.
  public func killAll() {
    for process in ProcessTable.members(ofSession: processIdentifier) { _ = kill(process, SIGKILL) }
  }

  /// Polls rather than blocks: Swift's few concurrency threads belong to the other tests too.
  private static func waitForEnd(of process: pid_t, timeLimit: Duration) async -> (exitCode: Int32, timedOut: Bool) {
    let deadline = ContinuousClock.now + timeLimit
    var timedOut = false
    while true {
      if let exitCode = exitCodeIfEnded(process) { return (exitCode, timedOut) }
      if !timedOut && ContinuousClock.now >= deadline {
        timedOut = true
        // mpirun first, and politely, so that it removes its files in /tmp and /dev/shm.
        _ = kill(process, SIGTERM)
        let politeUntil = ContinuousClock.now + .seconds(5)
        while ContinuousClock.now < politeUntil {
          if let exitCode = exitCodeIfEnded(process) { return (exitCode, true) }
          try? await Task.sleep(for: .milliseconds(10))
        }
        for member in ProcessTable.members(ofSession: process) { _ = kill(member, SIGKILL) }
      }
      try? await Task.sleep(for: .milliseconds(10))
    }
  }

  private static func exitCodeIfEnded(_ process: pid_t) -> Int32? {
    var status: Int32 = 0
    let reaped = waitpid(process, &status, WNOHANG)
    if reaped == 0 || (reaped < 0 && errno == EINTR) { return nil }
    guard reaped == process else { return -1 }
    let signal = status & 0x7f
    return signal == 0 ? (status >> 8) & 0xff : 128 + signal
  }

  /// Gives the remaining processes of an ended job a moment to end, then kills and counts them.
  private static func clearSession(of process: pid_t) async -> Int {
    let deadline = ContinuousClock.now + .seconds(3)
    var members = ProcessTable.members(ofSession: process)
    while !members.isEmpty && ContinuousClock.now < deadline {
      try? await Task.sleep(for: .milliseconds(20))
      members = ProcessTable.members(ofSession: process)
    }
    for member in members { _ = kill(member, SIGKILL) }
    return members.count
  }
}

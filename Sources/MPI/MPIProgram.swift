internal import CMPI
import Glibc

/// The frame of a program that runs under MPI.
public enum MPIProgram {
  /// Initialises MPI, runs `body` with the communicator of all ranks, finalises MPI, and exits with the code `body`
  /// returned, which mpirun passes on.
  ///
  /// Ranks are numbered so that those of a node follow each other (`Communicator.groupedByNode`), however mpirun has
  /// mapped them: what a program computes depends on its ranks' numbers, and not on the mapping.
  ///
  /// An uncaught error ends the whole job, with the code of ``ErrorWithExitCode`` or else 1, and one line on standard
  /// error, `rank 1 of 2 on HOST: CAUSE`:
  ///
  /// * thrown by every rank, alike or agreed on (`Communicator.agree`): each distinct cause is printed once, and all
  ///   ranks exit;
  /// * thrown by some ranks while others work, wait in a collective, or spin on shared memory: after a moment for
  ///   others to fail too, it is printed and MPI ends all ranks.
  public static func run(_ body: (Communicator) throws -> Int32) -> Never {
    cmpi_line_buffer_output()
    let code: Int32
    do {
      try MPIRuntime.initialize()
      code = try body(try Communicator.world().groupedByNode())
    } catch {
      fail(error)
    }
    cmpi_flush_output()
    MPIRuntime.finalize()
    exit(code)
  }

  /// Exit code of a job that failed by what it was given, so that another start would fail in the same way: `EX_DATAERR`
  /// of sysexits.h.
  public static let inputErrorCode: Int32 = 65

  private static let failureCode: Int32 = 1

  private static func fail(_ error: any Error) -> Never {
    cmpi_flush_output()
    endAtSIGTERM()
    guard let handle = MPIRuntime.errorCommunicator, let world = try? Communicator(handle: handle, serial: nil) else {
      printLine("\(singleLine(error)) [on \(MPIRuntime.hostName)]")
      MPIRuntime.abort(code: failureCode)
    }
    let patience = patienceMilliseconds(for: error, world: world)
    let cause = singleLine(error)
    // What an agreed error was on the rank that met it, the others learn below.
    let ownCode = (error as? any ErrorWithExitCode)?.exitCode
    let line = error is PeerError ? cause : "rank \(world.rank) of \(world.size) on \(MPIRuntime.hostName): \(cause)"

    guard
      (try? world.barrier(withinMilliseconds: patience)) == true, let causes = try? world.allGather(cause),
      let lines = try? world.allGather(line), let codes = try? world.allGather(Int(ownCode ?? 0))
    else {
      printLine(line)
      MPIRuntime.abort(code: ownCode ?? failureCode)
    }
    let code = codes.max().flatMap { $0 > 0 ? Int32($0) : nil } ?? failureCode
    // All ranks are here. Rank 0 speaks for them.
    if world.rank == 0 {
      for rank in 0..<world.size where causes.firstIndex(of: causes[rank]) == rank { printLine(lines[rank]) }
    }
    // Finalising is what a job that ends as one should do, but a thread left behind in a collective may keep it from
    // ending.
    cmpi_exit_after(10, code)
    MPIRuntime.finalize(freeingHandles: false)
    exit(code)
  }

  /// Gives SIGTERM its ordinary effect again: a failed rank has nothing to save, and is to end when MPI ends the job,
  /// by SIGTERM first.
  ///
  /// A program may have installed a handler, or have blocked the signal in all threads for one that takes it with
  /// `sigwait`. So the default action is restored, and the signal let through in this thread. While another thread
  /// waits for the signal either may be chosen; Linux tries the main thread first, in which programs run, and kills the
  /// process at once if it lets a signal through that has the default action.
  private static func endAtSIGTERM() {
    signal(SIGTERM, SIG_DFL)
    var signals = sigset_t()
    sigemptyset(&signals)
    sigaddset(&signals, SIGTERM)
    // Fails for an unknown first argument only.
    pthread_sigmask(SIG_UNBLOCK, &signals, nil)
  }

  /// How long a failed rank waits for all others to fail too before it speaks, and takes the job down.
  private static func patienceMilliseconds(for error: any Error, world: Communicator) -> Int {
    guard let error = error as? any CollectiveError else {
      // Where several ranks fail, the lowest speaks first, and takes the others down before their turn comes.
      return 2_000 + 100 * min(world.rank, 20)
    }
    // All others are known to come, however slow their way out is. In a part of the job one rank speaks for the part,
    // and the rest only if that one cannot.
    let others = error.participantCount == world.size ? 60_000 : 2_000
    return error.reportingRank == world.rank ? others : others + 10_000
  }

  /// In one write where the system allows, so that lines of several ranks do not mix.
  private static func printLine(_ line: String) {
    var rest = Array((line + "\n").utf8)[...]
    while !rest.isEmpty {
      let written = rest.withUnsafeBytes { write(STDERR_FILENO, $0.baseAddress, $0.count) }
      if written < 0 && errno == EINTR { continue }
      if written <= 0 { return }  // Nobody listens any more.
      rest = rest.dropFirst(written)
    }
  }
}

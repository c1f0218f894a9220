import ArgumentParser
import Foundation
import MPI

/// A command-line program that runs on all ranks of an MPI job, and as one rank without `mpirun`. Conforming types
/// are started with `@main`:
///
/// ```swift
/// @main struct MNIST: ParallelCommand {
///   @OptionGroup var training: TrainingOptions
///   func run(on world: Communicator) throws -> Int32 { … }
/// }
/// ```
public protocol ParallelCommand: ParsableCommand {
  /// Whether SIGTERM, SIGINT and SIGUSR1 ask the program to save and stop rather than end it at once. True unless
  /// said otherwise; only what ``Trainer`` does heeds them, so a program that does something else says false.
  static var savesOnSignals: Bool { get }

  /// The arguments to parse, made of those of the command line: a program with names for whole sets of flags puts those
  /// in front of what the user gave, which then counts. Unless said otherwise, nothing is changed.
  static func expanded(_ arguments: [String]) throws -> [String]

  /// Does the work, collectively over all ranks.
  ///
  /// - Parameter world: all ranks of the job.
  /// - Returns: the exit code of the process. ``Trainer/run()`` gives it for training programs.
  func run(on world: Communicator) throws -> Int32
}

extension ParallelCommand {
  /// Training programs save.
  public static var savesOnSignals: Bool { true }

  /// The arguments as they are.
  public static func expanded(_ arguments: [String]) throws -> [String] { arguments }

  /// Starts MPI, parses the command line, runs the command (or subcommand) and ends the process, on every rank.
  /// Messages about the command line are printed by one rank only.
  public static func main() {
    if savesOnSignals { StopSignal.install() }
    MPIProgram.run { world in
      let outcome = Result { try parseAsRoot(expanded(Array(CommandLine.arguments.dropFirst()))) }
      guard let code = try reportFailure(of: outcome.map { _ in }, on: world) else {
        var command = try outcome.get()
        do {
          if let command = command as? any ParallelCommand { return try command.run(on: world) }
          // Help is a command of its own; what it says arrives as an error.
          try command.run()
        } catch let error where exitCode(for: error).isSuccess {
          if world.rank == 0 { Console.write(fullMessage(for: error) + "\n") }
        }
        return EXIT_SUCCESS
      }
      return code
    }
  }

  /// Prints why parsing failed on the lowest rank where it did.
  ///
  /// - Returns: the exit code; nil if every rank parsed its command line.
  private static func reportFailure(of outcome: Result<Void, any Error>, on world: Communicator) throws -> Int32? {
    var own: (any Error)?
    if case .failure(let error) = outcome { own = error }
    let failed = try world.allGather(own == nil ? 0 : 1)
    guard let speaker = failed.firstIndex(of: 1) else { return nil }
    guard let own else { return EXIT_FAILURE }
    let code = exitCode(for: own)
    if world.rank == speaker {
      let message = fullMessage(for: own) + "\n"
      if code.isSuccess { Console.write(message) } else { Console.writeError(message) }
    }
    return code.rawValue
  }
}

import DataParallel
import Datasets
import MPI
import Neural
import ScheduleFree

// Errors that lie in what a run was given. Computing is repeatable to the bit, so a run that diverged belongs here too:
// started again from its checkpoint, it diverges again. What a machine, a network or a disk may do better the next time
// keeps the ordinary code.

extension DatasetError: ErrorWithExitCode {
  /// That of bad input.
  public var exitCode: Int32? { MPIProgram.inputErrorCode }
}

extension HyperparameterError: ErrorWithExitCode {
  /// That of bad input.
  public var exitCode: Int32? { MPIProgram.inputErrorCode }
}

extension PlanError: ErrorWithExitCode {
  /// That of bad input.
  public var exitCode: Int32? { MPIProgram.inputErrorCode }
}

extension TrainingError: ErrorWithExitCode {
  /// That of bad input, but where another job was in the way.
  public var exitCode: Int32? {
    switch self {
    case .runWentOn: nil
    default: MPIProgram.inputErrorCode
    }
  }
}

extension DataParallelError: ErrorWithExitCode {
  /// That of bad input, but where memory was short.
  public var exitCode: Int32? {
    switch self {
    case .outOfMemory: nil
    default: MPIProgram.inputErrorCode
    }
  }
}

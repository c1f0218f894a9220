/// An error that, uncaught, ends a program with a code of its own (see `MPIProgram.run`), so that whoever started the job
/// knows what to do: `MPIProgram.inputErrorCode` says that another start would end in the same way.
public protocol ErrorWithExitCode: Error {
  /// The exit code, 1 to 125; nil for the ordinary one.
  var exitCode: Int32? { get }
}

extension PeerError: ErrorWithExitCode {
  /// That of the error on this rank; the ranks take the highest of theirs.
  public var exitCode: Int32? { (underlying as? any ErrorWithExitCode)?.exitCode }
}

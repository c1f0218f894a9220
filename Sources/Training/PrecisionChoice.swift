import ArgumentParser
import MPI
import Neural

/// What to do where `--precision bfloat16` was asked for and the processor has no bfloat16 instructions.
public enum WithoutBFloat16: String, ExpressibleByArgument, Sendable, CaseIterable {
  /// Go on in float32, and say so.
  case float32
  /// Refuse to run.
  case refuse
}

extension Precision: ExpressibleByArgument {}

/// The precision that a run computes in: what the flags ask for, or what all its hosts can do.
struct PrecisionChoice {
  /// The precision, the same on every rank.
  var precision: Precision
  /// What a person should know of the choice; nil if it is what was asked for.
  var notice: String?

  /// Agrees on the precision. Collective: hosts may differ, and one rank without the instructions decides for all, as
  /// ranks that compute in different precisions would train something that nobody asked for, at the pace of the
  /// slowest.
  ///
  /// - Parameter hasInstructions: whether this rank's processor has bfloat16 instructions.
  /// - Throws: ``TrainingError/noBFloat16(reason:)`` on every rank, where that was asked for.
  static func agree(
    _ options: TrainingOptions, hasInstructions: Bool = Precision.hasBFloat16Instructions, on world: Communicator
  ) throws -> PrecisionChoice {
    guard options.precision == .bfloat16 else { return PrecisionChoice(precision: options.precision) }
    let capable = try world.allGather(hasInstructions ? 1 : 0)
    guard let rank = capable.firstIndex(of: 0) else { return PrecisionChoice(precision: .bfloat16) }
    let host = try world.broadcast(value: MPIRuntime.hostName, root: rank)
    let count = capable.count { $0 == 0 }
    let others = count > 1 ? " (and of \(count - 1) more of \(world.size) ranks)" : ""
    let reason =
      "the processor of rank \(rank), on \(host)\(others), has no bfloat16 instructions (AVX512-BF16 or AMX), without "
      + "which bfloat16 is slower than float32"
    guard options.withoutBfloat16 == .float32 else { throw TrainingError.noBFloat16(reason: reason) }
    return PrecisionChoice(precision: .float32, notice: "computing in float32 on all ranks: \(reason)")
  }
}

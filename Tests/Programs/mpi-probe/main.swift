// Checks the MPI room from within: started by tests under mpirun, each subcommand checks its results itself and ends
// with an error that says what differed.
import Glibc
import MPI

let arguments = Array(CommandLine.arguments.dropFirst())

/// The argument after the subcommand at `index`, as a number.
func number(_ index: Int) throws -> Int {
  guard arguments.count > index, let value = Int(arguments[index]) else {
    throw CheckFailed(description: "argument \(index) of \(arguments) must be a number")
  }
  return value
}

/// The checks that `check NAME…` runs, each on all ranks.
let checks: [String: (Communicator) throws -> Void] = [
  "collectives": { try checkCollectives($0, piece: 1 << 28) },
  "collectives-in-pieces-of-1": { try checkCollectives($0, piece: 1) },
  "collectives-in-pieces-of-5": { try checkCollectives($0, piece: 5) },
  "values": checkValues,
  "communicators": checkCommunicators,
  "messages": checkMessages,
  "nodes": checkNodes,
  "misuse": checkMisuse,
  "agree": checkAgreement,
  "threads": checkThreads,
  "window": checkWindow,
  "window-atomics": checkWindowAtomics,
  "window-too-large": checkWindowTooLarge,
]

if arguments.first == "fail-while-terminated" { ignoreTermination() }
MPIProgram.run { world in
  switch arguments.first ?? "" {
  case "check":
    for name in arguments.dropFirst() {
      guard let check = checks[name] else { throw CheckFailed(description: "no check '\(name)'") }
      try check(world)
      if world.rank == 0 { print("\(name): well on \(world.size) ranks") }
    }
  case "many-elements": try checkManyElements(world, count: try number(1))
  case "fail-one": try failOnOneRank(world, rank: try number(1), others: arguments.dropFirst(2).first ?? "")
  case "fail-agreed": try failTogether(world, rank: try number(1))
  case "fail-in-a-part": try failInAPart(world)
  case "fail-while-terminated": try failWhileTerminated(world)
  case "fail-all": throw ProbeError(text: "the learning rate is negative\n  (it was -1)")
  case "fail-each": throw ProbeError(text: "rank \(world.rank) does not like its own data")
  case "exit": return Int32(try number(1))
  case "describe": print("rank \(world.rank) of \(world.size) on \(MPIRuntime.hostName)")
  case "wait":
    print("rank \(world.rank) waits")
    try world.barrier()
    if world.rank == 0 { while true { sleep(1) } }
    try world.barrier()
  default: throw CheckFailed(description: "no subcommand '\(arguments.first ?? "")'")
  }
  return 0
}

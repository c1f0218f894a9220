// Trains several networks with a given number of lanes, on however many ranks it is started with. What is left in the
// folders is for the test that starts it on several numbers of ranks to compare.
//
//   lanes-probe FOLDER LANES small|all|stopping [FROM]
//
// FOLDER receives a folder for each case, with one run in it. With FROM, the FOLDER of an earlier call, each case goes
// on from step 2 of the run there. LANES 0: as many as ranks, without saying so. The stopping cases meet infinite numbers,
// and must end in the same step on all ranks.
//
// All cases in one program, because starting one under mpirun takes longer than these runs.

import Foundation
import MPI
import ProbeSupport
import Training

let casesByName = [
  "small": smallCases + skippingCases, "all": smallCases + skippingCases + largeCases, "stopping": stoppingCases,
]

/// The run ends on all ranks with the same error, which names a loss, and in the same step.
func checkStop(of trainer: Trainer, _ name: String, on world: Communicator) throws {
  var message = "no error"
  do { _ = try trainer.run() } catch let error as TrainingError { message = error.description }
  let messages = try world.allGather(message)
  try require(Set(messages).count == 1, "\(name): \(messages)")
  try require(message.contains("the loss of ") && message.contains("training diverged"), "\(name): \(message)")
  if world.rank == 0 { print("\(name): \(message)") }
}

MPIProgram.run { world in
  let arguments = Array(CommandLine.arguments.dropFirst())
  guard arguments.count >= 3, let lanes = Int(arguments[1]), let cases = casesByName[arguments[2]] else {
    throw Failure(description: "usage: lanes-probe FOLDER LANES small|all|stopping [FROM]")
  }
  for test in cases {
    var flags =
      test.flags + [
        "--quiet", "--steps", "4", "--checkpoint-every", "2", "--evaluate-every", "3", "--log-every", "1", "--keep",
        "9",
        "--output", "\(arguments[0])/\(test.name)",
      ]
    if lanes > 0 { flags += ["--lanes", "\(lanes)"] }
    if arguments.count > 3 {
      let from = "\(arguments[3])/\(test.name)"
      let run = try world.agree(on: "the run in \(from)") { () throws -> String in
        guard let run = try FileManager.default.contentsOfDirectory(atPath: from).first else {
          throw Failure(description: "no run in \(from)")
        }
        return run
      }
      flags += ["--resume", "\(from)/\(run)/checkpoints/step-00000002"]
    }
    let options = try world.agree(on: test.name) { try TrainingOptions.parse(flags) }
    let trainer = try Trainer(test.network, data: try test.data(), options: options, on: world, program: "lanes-probe")
    if arguments[2] == "stopping" {
      try checkStop(of: trainer, test.name, on: world)
      continue
    }
    let code = try trainer.run()
    try trainer.close()
    guard code == 0 else { throw Failure(description: "\(test.name) ended with code \(code)") }
  }
  if world.rank == 0 { print("ok: \(cases.count) cases") }
  return 0
}

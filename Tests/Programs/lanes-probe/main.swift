// Trains several networks with a given number of lanes, on however many ranks it is started with. What is left in the
// folders is for the test that starts it on several numbers of ranks to compare.
//
//   lanes-probe FOLDER LANES small|all [FROM]
//
// FOLDER receives a folder for each case, with one run in it. With FROM, the FOLDER of an earlier call, each case goes
// on from step 2 of the run there. LANES 0: as many as ranks, without saying so.
//
// All cases in one program, because starting one under mpirun takes longer than these runs.

import Foundation
import MPI
import ProbeSupport
import Training

MPIProgram.run { world in
  let arguments = Array(CommandLine.arguments.dropFirst())
  guard arguments.count >= 3, let lanes = Int(arguments[1]), ["small", "all"].contains(arguments[2]) else {
    throw Failure(description: "usage: lanes-probe FOLDER LANES small|all [FROM]")
  }
  let cases = smallCases + (arguments[2] == "all" ? largeCases : [])
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
    let code = try trainer.run()
    try trainer.close()
    guard code == 0 else { throw Failure(description: "\(test.name) ended with code \(code)") }
  }
  if world.rank == 0 { print("ok: \(cases.count) cases") }
  return 0
}

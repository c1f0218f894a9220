// Trains a small network with every optimizer, and with the choices that give one other state, once in one go and once
// from a checkpoint in the middle; both must end in the same bytes and counters. Exits non-zero with a message where
// they do not.
//
//   resume-probe FOLDER
//
// All in one program, because starting one under mpirun takes longer than these runs.

import Datasets
import Foundation
import MPI
import Neural
import ProbeSupport
import ScheduleFree
import Training

/// The flags of each run: all methods as they are, and what changes their state or counters.
func flagSets() -> [[String]] {
  var sets = OptimizerRegistry.methods.map { ["--optimizer", $0.name] }
  func add(_ name: String, _ parameter: Hyperparameter, _ values: [String], _ more: [String] = []) {
    guard let method = OptimizerRegistry.methods.first(where: { $0.name == name }),
      method.accepted.contains(parameter)
    else { return }
    for value in values { sets.append(["--optimizer", name, "--\(parameter)", value] + more) }
  }
  add("adamw-schedulefree", .averaging, ["polyak", "refined"], ["--averaging-warmup", "3"])
  add("adamw-schedulefree", .averaging, ["exponential"], ["--averaging-decay", "0.9"])
  add("adamw-schedulefree", .innerMomentum, ["0.9"], ["--decay-at", "z", "--weight-decay", "0.1"])
  add("radam-schedulefree", .silentPhase, ["false"])
  add("schedulefree", .base, ["sgd", "adam", "adamw", "radam", "rmsprop"])
  // Without momentum nothing but the parameters is kept.
  add("sgd", .momentum, ["0"])
  add("sgd", .schedule, ["cosine", "step"], ["--nesterov", "--warmup-steps", "2"])
  add("sgd", .averaging, ["polyak", "exponential"])
  add("sgd", .averaging, ["swa", "lawa"], ["--averaging-interval", "2", "--momentum", "0"])
  add("adamw", .averaging, ["lookahead"], ["--averaging-interval", "3"])
  sets.append(["--no-decay", "*.bias", "--learning-rate-factor", "out*=0.5", "--freeze", "in*=9", "--clip-norm", "0.1"])
  return sets
}

let network = Sequential(input: [1, 5, 5]) {
  Flatten()
  Dense("in", 7)
  ReLU()
  Dense("out", 3)
}

func makeData() throws -> TrainingData {
  func set(_ name: String, _ count: Int, _ seed: Int) throws -> LabeledImages {
    let labels = (0..<count).map { UInt8(($0 &* 7 &+ seed) % 3) }
    // A bright row at the label's height, in a pattern of its own per image.
    let images = (0..<count).flatMap { image in
      (0..<25).map { UInt8(($0 / 5 == Int(labels[image]) ? 150 : 0) + (image &* 31 &+ $0 &* 17 &+ seed) % 97) }
    }
    return try LabeledImages(
      name: name, images: images, labels: labels, channels: 1, height: 5, width: 5, classCount: 3)
  }
  return TrainingData(
    training: try set("training set", 47, 1), test: try set("test set", 11, 2), normalization: .mnist,
    augmentation: Augmentation(cropPadding: 1, flip: .alternating, cutout: 1))
}

/// The optimizer's counters in the checkpoint at the end of a run.
func counters(_ run: String) throws -> NSDictionary {
  let url = URL(fileURLWithPath: run + "/checkpoints/step-00000012/state.json")
  let document = try JSONSerialization.jsonObject(with: Data(contentsOf: url)) as? NSDictionary
  guard let found = (document?["state"] as? NSDictionary)?["counters"] as? NSDictionary, found["step"] as? Int == 12
  else { throw Failure(description: "\(url.path) has no counters of step 12") }
  return found
}

/// Trains, and returns the run folder, on every rank.
func train(_ options: TrainingOptions, data: TrainingData, on world: Communicator) throws -> String {
  let trainer = try Trainer(network, data: data, options: options, on: world, program: "resume-probe")
  let code = try trainer.run()
  try trainer.close()
  guard code == 0 else { throw Failure(description: "the run ended with code \(code)") }
  return try world.agree(on: "the run folder") {
    let runs = try FileManager.default.contentsOfDirectory(atPath: options.output)
    guard runs.count == 1 else { throw Failure(description: "the run folders are \(runs)") }
    return options.output + "/" + runs[0]
  }
}

MPIProgram.run { world in
  guard let root = CommandLine.arguments.dropFirst().first else {
    throw Failure(description: "usage: resume-probe FOLDER")
  }
  let data = try makeData()
  let sets = flagSets()
  for (index, flags) in sets.enumerated() {
    var options = try world.agree(on: "\(flags)") {
      try TrainingOptions.parse(
        flags + [
          "--quiet", "--batch-size", "3", "--steps", "12", "--checkpoint-every", "4", "--evaluate-every", "0",
          "--keep", "2", "--output", "\(root)/\(index)-whole",
        ])
    }
    let whole = try train(options, data: data, on: world)
    options.resume = whole + "/checkpoints/step-00000008"
    options.output = "\(root)/\(index)-resumed"
    let resumed = try train(options, data: data, on: world)
    try world.agree(on: "\(flags.joined(separator: " ")): the checkpoints") {
      let names = try FileManager.default.contentsOfDirectory(atPath: whole + "/checkpoints").sorted()
      guard names == ["best", "latest", "step-00000008", "step-00000012"] else {
        throw Failure(description: "\(names) are kept")
      }
      for file in ["model.safetensors", "optimizer.safetensors"] {
        func bytes(_ run: String) throws -> Data {
          try Data(contentsOf: URL(fileURLWithPath: run + "/checkpoints/step-00000012/" + file))
        }
        try require(try bytes(whole) == bytes(resumed), "\(file) has other bytes")
      }
      let (expected, found) = (try counters(whole), try counters(resumed))
      try require(found == expected, "the counters are \(found), expected \(expected)")
    }
  }
  if world.rank == 0 { print("ok: \(sets.count) runs with \(OptimizerRegistry.methods.count) methods") }
  return 0
}

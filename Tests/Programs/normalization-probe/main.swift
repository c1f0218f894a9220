// Trains a small network with batch normalisation in many ways, and checks what must be the same and what must not.
// Exits non-zero with a message where something is wrong.
//
//   normalization-probe FOLDER         on two ranks
//
// All in one program, because starting one under mpirun takes longer than these runs.

import Foundation
import MPI
import ProbeSupport
import Training

/// Trains on rank zero alone.
func trainAlone(_ name: String, _ flags: [String], root: String, on world: Communicator) throws -> Run? {
  let alone = try world.split(color: world.rank, key: 0)
  var run: Run?
  try world.agree(on: name) {
    if world.rank == 0 { run = try train(name, flags, root: root, on: alone) }
  }
  try alone.free()
  return run
}

func close(_ a: [Float], _ b: [Float], _ tolerance: Float) -> Bool {
  a.count == b.count && zip(a, b).allSatisfy { abs($0 - $1) <= tolerance * max(abs($1), 1) }
}

/// Evaluations and checkpoints, with all that they compute, leave training as it is; the statistics that they compute
/// are the same whichever asked for them, and skipping them costs accuracy.
func checkEvaluation(root: String, on world: Communicator) throws {
  // Large steps, so that x, the average, is far from the y of any batch.
  let flags = ["--steps", "30", "--learning-rate", "0.1"]
  let plain = try train("plain", flags + ["--statistics-batches", "0"], root: root, on: world)
  let watched = try train(
    "watched", flags + ["--statistics-batches", "4", "--evaluate-every", "7", "--checkpoint-every", "5"],
    root: root, on: world)
  let saved = try train("saved", flags + ["--statistics-batches", "4"], root: root, on: world)
  try world.agree(on: "evaluation at x") {
    guard world.rank == 0 else { return }
    try require(plain.losses == watched.losses, "evaluations change the losses of training")
    try require(
      try plain.bytes("optimizer", step: 30) == watched.bytes("optimizer", step: 30),
      "evaluations change z, v or the running statistics of training")
    for name in ["conv1.weight", "block.bn.bias", "fc.weight"] {
      let (a, b) = (try plain.tensor(name, in: "model", step: 30), try watched.tensor(name, in: "model", step: 30))
      try require(a == b, "evaluations change \(name)")
    }
    try require(
      try saved.bytes("model", step: 30) == watched.bytes("model", step: 30),
      "the statistics at x depend on earlier evaluations")
    guard let without = plain.evaluations.last, let with = watched.evaluations.last else { return }
    try require(
      with.accuracy > without.accuracy + 0.05 && with.loss < 0.8 * without.loss,
      "skipping the statistics at x costs nothing: accuracy \(without.accuracy) and \(with.accuracy), "
        + "loss \(without.loss) and \(with.loss)")
  }
}

/// A run and its resumption end in the same bytes.
func checkResuming(root: String, on world: Communicator) throws {
  let sets = [[], ["--precision", "bfloat16"], ["--batch-statistics", "global"], ["--accumulate", "2"]]
  for (index, flags) in sets.enumerated() {
    let flags = flags + ["--steps", "10", "--checkpoint-every", "5", "--statistics-batches", "2"]
    let whole = try train("whole-\(index)", flags, root: root, on: world)
    let resumed = try train(
      "resumed-\(index)", flags + ["--resume", whole.checkpoint(5)], root: root, on: world)
    try world.agree(on: "resuming with \(flags)") {
      guard world.rank == 0 else { return }
      for file in ["model", "optimizer"] {
        try require(
          try whole.bytes(file, step: 10) == resumed.bytes(file, step: 10), "\(file) has other bytes after resuming")
      }
      try require(Array(whole.losses.suffix(5)) == resumed.losses, "the losses differ after resuming")
      try require((whole.losses.last ?? 9) < (whole.losses.first ?? 0), "the loss does not fall: \(whole.losses)")
    }
  }
}

/// On another number of ranks a run goes on from the mean of the ranks' statistics.
func checkOtherRanks(root: String, on world: Communicator) throws {
  let flags = ["--steps", "6", "--checkpoint-every", "1"]
  let whole = try train("two-ranks", flags, root: root, on: world)
  let resumed = try trainAlone(
    "one-rank", ["--steps", "6", "--batch-size", "16", "--resume", whole.checkpoint(5), "--dropout-scale", "1"],
    root: root, on: world)
  try world.agree(on: "resuming on one rank") {
    guard let resumed else { return }
    try require(resumed.notices.contains { $0.contains("not bit for bit") }, "no note: \(resumed.notices)")
    // Batches of both ranks have as many examples, so the mean of their means is that of the batch as a whole.
    let rows = try whole.tensor("running.bn1.running_mean", in: "optimizer", step: 6)
    let mean = (0..<4).map { (rows[$0] + rows[$0 + 4]) / 2 }
    let found = try resumed.tensor("running.bn1.running_mean", in: "optimizer", step: 6)
    try require(close(found, mean, 1e-5), "running means \(found), expected \(mean)")
    try require(rows[0] != rows[4], "the ranks' statistics are the same")
  }
}

/// Two ranks that pool their statistics are one rank with the whole batch, to rounding; otherwise not.
func checkPooling(root: String, on world: Communicator) throws {
  let flags = ["--steps", "4", "--dropout-scale", "0", "--statistics-batches", "3"]
  let pooled = try train("pooled", flags + ["--batch-statistics", "global"], root: root, on: world)
  let flat = try train(
    "pooled-flat", flags + ["--batch-statistics", "global", "--exchange", "flat"], root: root, on: world)
  let apart = try train("apart", flags, root: root, on: world)
  let whole = try trainAlone("whole-batch", flags + ["--batch-size", "16"], root: root, on: world)
  try world.agree(on: "pooled statistics") {
    guard let whole else { return }
    try require(pooled.losses == flat.losses, "the exchange changes the losses: \(pooled.losses), \(flat.losses)")
    try require(
      try pooled.bytes("model", step: 4) == flat.bytes("model", step: 4), "the exchange changes the model")
    for (a, b) in zip(pooled.losses, whole.losses) {
      try require(abs(a - b) < 1e-4 * b, "losses \(pooled.losses), expected \(whole.losses)")
    }
    let name = "block.bn.running_var"
    let (a, b) = (try pooled.tensor(name, in: "model", step: 4), try whole.tensor(name, in: "model", step: 4))
    try require(close(a, b, 1e-3), "\(name) is \(a), expected \(b)")
    try require(abs(apart.losses[1] - whole.losses[1]) > 1e-4, "statistics of a rank's batch are those of all batches")
  }
}

/// Initial weights bring their statistics; where they have none, that is said.
func checkInitialWeights(root: String, on world: Communicator) throws {
  let first = try train("source", ["--steps", "3"], root: root, on: world)
  let path = first.checkpoint(3) + "/model.safetensors"
  let bare = root + "/bare.safetensors"
  try world.agree(on: "weights without statistics") {
    if world.rank == 0 { try writeWithoutStatistics(path, to: bare) }
  }
  let flags = ["--steps", "1", "--statistics-batches", "0"]
  let with = try train("with-statistics", flags + ["--initial-weights", path], root: root, on: world)
  let without = try train("without-statistics", flags + ["--initial-weights", bare], root: root, on: world)
  try world.agree(on: "initial weights") {
    guard world.rank == 0 else { return }
    try require(with.notices.isEmpty, "notes with statistics: \(with.notices)")
    try require(
      without.notices.contains { $0.contains("6 of 6") && $0.contains("bn1.running_mean") },
      "no note without statistics: \(without.notices)")
    for (name, initial) in [("bn1.running_mean", Float(0)), ("block.bn.running_var", 1)] {
      let saved = try first.tensor(name, in: "model", step: 3)
      let (a, b) = (try with.tensor(name, in: "model", step: 1), try without.tensor(name, in: "model", step: 1))
      // Of what was there before a step, nine tenths stay.
      try require(
        close(zip(a, b).map { $0 - $1 }, saved.map { 0.9 * ($0 - initial) }, 1e-5), "\(name) is \(a) and \(b)")
    }
  }
}

/// With mirrored evaluation a test set and its mirror image are the same; otherwise not.
func checkMirroring(root: String, on world: Communicator) throws {
  var runs: [Run] = []
  for (index, mirrored) in [false, true].enumerated() {
    for flag in [[], ["--evaluate-views", "mirrored"]] {
      runs.append(
        try train(
          "mirror-\(index)-\(flag.count)", ["--steps", "4"] + flag, data: makeData(mirrored: mirrored), root: root,
          on: world))
    }
  }
  try world.agree(on: "mirrored evaluation") {
    guard world.rank == 0 else { return }
    let losses = runs.compactMap(\.evaluations.last?.loss)
    try require(losses.count == 4 && abs(losses[1] - losses[3]) < 1e-6, "losses with mirroring: \(losses)")
    try require(abs(losses[0] - losses[2]) > 1e-4, "the test set is symmetric: \(losses)")
  }
}

MPIProgram.run { world in
  guard let root = CommandLine.arguments.dropFirst().first, world.size == 2 else {
    throw Failure(description: "usage: normalization-probe FOLDER, on two ranks")
  }
  try checkEvaluation(root: root, on: world)
  try checkResuming(root: root, on: world)
  try checkOtherRanks(root: root, on: world)
  try checkPooling(root: root, on: world)
  try checkInitialWeights(root: root, on: world)
  try checkMirroring(root: root, on: world)
  if world.rank == 0 { print("ok") }
  return 0
}

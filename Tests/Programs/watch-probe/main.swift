// Trains the MNIST network, and hangs on request: after `--hang-after` steps rank zero's listener never returns.

import ArgumentParser
import Glibc
import MPI
import Neural
import Training

struct WatchProbe: ParallelCommand {
  @OptionGroup var training: TrainingOptions

  @Option var hangAfter: Int

  func run(on world: Communicator) throws -> Int32 {
    let data = try world.agree(on: "data") { try TrainingData.mnist(folder: training.data) }
    return try Trainer(
      Models.mnist(), data: data, options: training, on: world, listeners: [Hanging(step: hangAfter)]
    ).run()
  }
}

/// Never returns from the event of one step.
final class Hanging: TrainingListener {
  let step: Int

  init(step: Int) { self.step = step }

  func receive(_ event: TrainingEvent) {
    guard case .step(let metrics) = event, metrics.step == step else { return }
    while true { sleep(1000) }
  }
}

WatchProbe.main()

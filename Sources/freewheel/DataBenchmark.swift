import ArgumentParser
import DataParallel
import Datasets
import Foundation
import MPI
import Training

/// Times the assembly of batches in every form and with several augmentations.
struct DataBenchmark: ParallelCommand {
  static let configuration = CommandConfiguration(
    commandName: "data",
    abstract: "Times the assembly of training batches, on every rank at once, with one thread each.",
    discussion: """
      Batches of a shuffled epoch are filled as training does it, each rank its part. Every form and augmentation \
      takes one batch in turn; of each the median time over all batches is printed, of the slowest rank.
      """)

  @Option(help: "Folder of CIFAR-10 in its binary version; without it built-in shapes are drawn.")
  var data: String?

  @Option(help: "Examples a batch, on each rank.")
  var batchSize: Int = 64

  @Option(help: "Batches of each kind; medians are printed.")
  var repetitions: Int = 501

  /// Columns of the table.
  private static let augmentations: [Augmentation] = [
    .none, Augmentation(flip: .random), .cifar10,
    Augmentation(cropPadding: 2, padding: .reflect, flip: .alternating, cutout: 12),
  ]
  private static let formats = BatchFormat.Layout.allCases.flatMap { layout in
    BatchFormat.ElementType.allCases.map { BatchFormat(layout: layout, elementType: $0) }
  }

  func validate() throws {
    guard (1...1 << 16).contains(batchSize) else {
      throw ValidationError("--batch-size is \(batchSize); expected 1 to \(1 << 16)")
    }
    guard repetitions >= 1 else { throw ValidationError("--repetitions is \(repetitions); expected 1 or more") }
  }

  func run(on world: Communicator) throws -> Int32 {
    let training = try world.agree(on: "data") { try trainingSet() }
    // Wrapped, so that a set smaller than a batch will do.
    var sampler = try Sampler(
      exampleCount: training.count, globalBatchSize: batchSize * world.size, seed: 1, lastBatch: .wrap)
    let assemblers = try Self.formats.map { format in
      try Self.augmentations.map {
        try BatchAssembler(training, normalization: .cifar10, format: format, augmentation: $0, seed: 1)
      }
    }
    let images = UnsafeMutableRawPointer.allocate(
      byteCount: batchSize * training.imageSize * MemoryLayout<Float>.size, alignment: 64)
    let labels = UnsafeMutablePointer<Int32>.allocate(capacity: batchSize)
    defer {
      images.deallocate()
      labels.deallocate()
    }
    var seconds = assemblers.map { $0.map { _ in [Double]() } }
    let positions = sampler.positions(rank: world.rank, of: world.size)
    var batch = 0
    // In turn, so that a drift of the machine's speed meets all alike; the first round brings memory into being.
    for round in -1..<repetitions {
      for (row, ofFormat) in assemblers.enumerated() {
        for (column, assembler) in ofFormat.enumerated() {
          if batch == sampler.batchesPerEpoch {
            sampler.prepare(epoch: sampler.epoch + 1)
            batch = 0
          }
          let start = monotonicSeconds()
          assembler.fill(
            sampler.indices(batch: batch, positions: positions), epoch: sampler.epoch, into: images, labels: labels)
          if round >= 0 { seconds[row][column].append(monotonicSeconds() - start) }
          batch += 1
        }
      }
    }
    let ranks = world.size == 1 ? "1 rank" : "\(world.size) ranks"
    var lines = [
      "\(batchSize) images of \(training.name) on \(ranks): microseconds to assemble, median of \(repetitions)",
      Self.pad("", 16) + Self.augmentations.map { Self.pad("\($0)", Self.width($0)) }.joined(),
    ]
    for (format, times) in zip(Self.formats, seconds) {
      var line = Self.pad("\(format)", 16)
      for (augmentation, times) in zip(Self.augmentations, times) {
        let slowest = try world.allGather(times.sorted()[times.count / 2]).max() ?? 0
        line += Self.pad(String(format: "%.1f", slowest * 1e6), Self.width(augmentation))
      }
      lines.append(line)
    }
    guard world.rank == 0 else { return 0 }
    for line in lines { print(line.replacing(#/ +$/#, with: "")) }
    return 0
  }

  /// What is assembled: enough shapes to be more than caches hold.
  private func trainingSet() throws -> LabeledImages {
    if let data { return try LabeledImages.cifar10(folder: data).train }
    return try SyntheticShapes.make(.train, examples: 0..<50_000)
  }

  private static func width(_ augmentation: Augmentation) -> Int { max(10, augmentation.description.count + 3) }

  private static func pad(_ text: String, _ width: Int) -> String {
    text + String(repeating: " ", count: max(1, width - text.count))
  }
}

import ArgumentParser
import Checkpoints
import DataParallel
import MPI
import Neural
import SystemPackage
import Training

/// Computes the gradients of one batch, to be compared with those of other implementations.
struct Gradients: ParallelCommand {
  static let configuration = CommandConfiguration(
    abstract: "Computes logits, loss and every parameter's gradient for one batch of a model.",
    discussion: """
      One forward and backward pass in training mode, without dropout; the loss is the mean over the batch. The file \
      written holds each gradient under its parameter's name, and 'logits' and 'loss'.
      """)

  @Option(help: "The model: \(Models.byName.keys.sorted().joined(separator: "|")).")
  var model: String

  @Option(help: "A safetensors file of the model's parameters under PyTorch's names; other tensors are passed over.")
  var weights: String

  @Option(help: "A safetensors file of 'images', N x C x H x W and normalised, and 'labels', N whole numbers.")
  var batch: String

  @Option(help: "The safetensors file to write.")
  var output: String

  @Option(help: "What is computed in: \(Precision.allValueStrings.joined(separator: "|")).")
  var precision: Precision = .float32

  @Option(help: "Label smoothing of the loss, from 0 up to but not including 1.")
  var labelSmoothing: Double = 0

  @Option(help: "Convolution algorithm: \(ConvolutionAlgorithm.allValueStrings.joined(separator: "|")).")
  var convolution: ConvolutionAlgorithm = .auto

  func validate() throws {
    guard Models.byName[model]?() != nil else {
      throw ValidationError("--model is '\(model)'; expected \(Models.byName.keys.sorted().joined(separator: ", "))")
    }
  }

  func run(on world: Communicator) throws -> Int32 {
    // One rank is enough; on several, all learn what it met.
    try world.agree(on: "the gradients") {
      guard world.rank == 0, let network = Models.byName[model]?() else { return }
      try compute(network)
    }
    return 0
  }

  private func compute(_ network: Sequential) throws {
    let (images, labels) = try readBatch(network)
    let plan = try Plan(
      network, batchSize: labels.count,
      options: PlanOptions(
        convolution: convolution, dropoutScale: 0, labelSmoothing: labelSmoothing, precision: precision))
    let parameters = try AlignedBuffer(count: plan.layout.count, for: "parameters")
    let gradients = try AlignedBuffer(count: plan.layout.count, for: "gradients")
    let file = try SafetensorsFile(FilePath(weights))
    for (index, tensor) in plan.layout.tensors.enumerated() {
      let values = try file.floats(tensor.name, shape: tensor.shape)
      try values.withUnsafeBufferPointer { values in
        guard let base = values.baseAddress else { return }
        try plan.readCanonical(tensor: index, from: base, to: parameters.pointer)
      }
    }
    plan.lossScale = 1 / Float(plan.batchSize)
    try plan.bind(parameters: parameters.pointer, gradients: gradients.pointer)
    try plan.fillInput(images)
    for (index, label) in labels.enumerated() { plan.labels[index] = Int32(clamping: label) }
    let loss = try plan.forward(step: 0, firstExample: 0) / Double(plan.batchSize)
    try plan.backward { _ in }

    var tensors = plan.layout.tensors.enumerated().map { index, tensor in
      TensorToWrite(tensor.name, shape: tensor.shape) { buffer in
        guard let base = buffer.baseAddress else { return }
        try plan.writeCanonical(tensor: index, from: gradients.pointer, to: base)
      }
    }
    tensors.append(TensorToWrite("logits", shape: [plan.batchSize, plan.classCount], floats: Array(plan.logits)))
    tensors.append(TensorToWrite("loss", shape: [], floats: [Float(loss)]))
    try Safetensors.write(tensors, metadata: ["format": "pt"], to: FilePath(output))
    print("\(output): \(plan.layout.tensors.count) gradients of \(model); loss \(loss)")
  }

  private func readBatch(_ network: Sequential) throws -> (images: [Float], labels: [Int]) {
    let file = try SafetensorsFile(FilePath(batch))
    let count = try file.tensor("images").shape.first ?? 0
    let images = try file.floats("images", shape: [count] + network.input)
    let labels = try file.integers("labels", shape: [count])
    guard count >= 1, images.allSatisfy(\.isFinite) else {
      throw ValidationError("\(batch): 'images' has \(count) examples; expected at least one, and finite numbers")
    }
    return (images, labels)
  }
}

import Neural
import Testing

/// Evaluation of images and their mirror images.
@Suite struct MirrorTests {
  private let model = Sequential(input: [3, 5, 7]) {
    Convolution("conv1", channels: 7, kernel: 3, padding: 1, bias: false)
    BatchNorm("bn1")
    GELU(approximation: .tanh)
    MaxPool(2)
    Flatten()
    Dense("fc", 4)
    Scale(3)
  }

  @Test(arguments: Precision.available)
  func logitsAreTheMeans(_ precision: Precision) throws {
    let harness = try Harness(model, batchSize: 5, options: PlanOptions(labelSmoothing: 0.1, precision: precision))
    try harness.step()
    let mirrored = harness.input.indices.map { (index: Int) -> Float in
      let (row, column) = index.quotientAndRemainder(dividingBy: 7)
      return harness.input[row * 7 + 6 - column]
    }
    func logits(_ input: [Float]) throws -> [Float] {
      try harness.plan.fillInput(input)
      _ = try harness.plan.evaluate(count: 5)
      return Array(harness.plan.logits)
    }
    let (plain, other) = (try logits(harness.input), try logits(mirrored))
    #expect(plain != other)
    let expected = zip(plain, other).map { ($0 + $1) / 2 }
    let reversed = Array(harness.plan.inputBytes)
    try harness.plan.fillInput(harness.input)
    // The labels of all but the first three are never looked at.
    harness.plan.labels[3] = -1
    let result = try harness.plan.evaluate(count: 3, mirrored: true)
    #expect(Array(harness.plan.logits) == expected)
    #expect(Array(harness.plan.inputBytes) == reversed)
    // Of the mean logits, not the mean of the losses.
    var (lossSum, correct) = (0.0, 0)
    for example in 0..<3 {
      let values = expected[example * 4..<example * 4 + 4].map(Double.init)
      let label = Int(harness.plan.labels[example])
      lossSum += ReferenceNetwork.crossEntropy(values, label: label, smoothing: 0.1).0
      if values.firstIndex(of: values.max() ?? 0) == label { correct += 1 }
    }
    #expect(abs(result.lossSum - lossSum) < 1e-6 * lossSum)
    #expect(result.correct == correct)
    // The next step is one of the batch as it lies there now.
    harness.plan.labels[3] = 0
    _ = try harness.step()
  }

  @Test func onlyImagesCanBeMirrored() throws {
    let harness = try Harness(Sequential(input: [4]) { Dense("fc", 3) }, batchSize: 2)
    let error = #expect(throws: PlanError.self) { try harness.plan.evaluate(count: 2, mirrored: true) }
    #expect(error?.description.contains("mirrored") == true && error?.description.contains("images") == true)
  }
}

import Neural
import Testing

/// Evaluation with the outputs of several views averaged.
@Suite struct EvaluationViewTests {
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
    let inputs = [
      harness.input,
      harness.input.indices.map { (index: Int) -> Float in
        let (row, column) = index.quotientAndRemainder(dividingBy: 7)
        return harness.input[row * 7 + 6 - column]
      },
      harness.input.map { $0 * 0.5 },
    ]
    let logits = try inputs.map { (input: [Float]) -> [Float] in
      try harness.plan.fillInput(input)
      _ = try harness.plan.evaluate(count: 5)
      return Array(harness.plan.logits)
    }
    #expect(logits[0] != logits[1] && logits[1] != logits[2])
    let weights: [Float] = [0.25, 0.25, 0.5]
    let expected = logits[0].indices.map { (index: Int) -> Float in
      var sum: Float = 0
      for view in weights.indices { sum += weights[view] * logits[view][index] }
      return sum
    }
    // The labels of all but the first three are never looked at.
    harness.plan.labels[3] = -1
    var order: [Int] = []
    let result = try harness.plan.evaluate(count: 3, weights: weights) { view in
      order.append(view)
      try harness.plan.fillInput(inputs[view])
    }
    #expect(order == [0, 1, 2])
    #expect(Array(harness.plan.logits) == expected)
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

  @Test func oneViewIsThePlainEvaluation() throws {
    let harness = try Harness(model, batchSize: 3)
    let plain = try harness.plan.evaluate(count: 3)
    let viewed = try harness.plan.evaluate(count: 3, weights: [1]) { _ in }
    #expect(plain == viewed)
  }
}

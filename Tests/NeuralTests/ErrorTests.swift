import Testing

@testable import Neural

@Suite struct ErrorTests {
  private func message(_ model: Sequential, batchSize: Int = 2, _ options: PlanOptions = PlanOptions()) -> String {
    do {
      _ = try Plan(model, batchSize: batchSize, options: options)
      return "accepted"
    } catch {
      return "\(error)"
    }
  }

  @Test func shapesThatDoNotFitNameLayerShapeAndExpectation() {
    let window = message(
      Sequential(input: [1, 4, 9]) {
        Convolution("conv1", channels: 4, kernel: 5)
        Flatten()
        Dense("fc", 2)
      })
    #expect(
      window.contains("layer 0 (Convolution conv1)") && window.contains("1 × 4 × 9") && window.contains("least 5"))

    let flatten = message(
      Sequential(input: [1, 8, 8]) {
        Convolution("conv1", channels: 4, kernel: 3)
        Dense("fc", 2)
      })
    #expect(flatten.contains("layer 1 (Dense fc)") && flatten.contains("4 × 6 × 6") && flatten.contains("Flatten()"))

    let image = message(
      Sequential(input: [64]) {
        Dense("fc", 32)
        ReLU()
        MaxPool(2)
      })
    #expect(image.contains("layer 2 (MaxPool)") && image.contains("32") && image.contains("channels, height, width"))

    let pooling = message(
      Sequential(input: [1, 3, 3]) {
        MaxPool(4)
        Flatten()
        Dense("fc", 2)
      })
    #expect(pooling.contains("layer 0 (MaxPool)") && pooling.contains("1 × 3 × 3"))
  }

  @Test func impossibleLayersAreRefused() {
    func convolution(_ channels: Int, _ kernel: Int, stride: Int = 1, padding: Int = 0) -> String {
      message(
        Sequential(input: [3, 9, 9]) {
          Convolution("conv", channels: channels, kernel: kernel, stride: stride, padding: padding)
          Flatten()
          Dense("fc", 2)
        })
    }
    #expect(convolution(0, 3).contains("channels 0"))
    #expect(convolution(4, 0).contains("kernel 0"))
    #expect(convolution(4, 3, stride: 0).contains("stride 0"))
    #expect(convolution(4, 3, padding: 3).contains("padding 3"))
    #expect(convolution(4, 3, padding: -1).contains("padding -1"))
    for probability in [-0.1, 1, 1.5, Double.nan] {
      let text = message(
        Sequential(input: [4]) {
          Dense("fc", 2)
          Dropout(probability)
        })
      #expect(text.contains("layer 1 (Dropout)") && text.contains("\(probability)"))
    }
    #expect(message(Sequential(input: [4]) { Dense("fc", 0) }).contains("at least 1 output feature"))
    let pool = message(
      Sequential(input: [1, 8, 8]) {
        MaxPool(2, padding: 2)
        Flatten()
        Dense("fc", 2)
      })
    #expect(pool.contains("padding 2"))
  }

  @Test func impossibleModelsAreRefused() {
    #expect(message(Sequential(input: [4]) { ReLU() }).contains("no layer with parameters"))
    #expect(message(Sequential(input: []) { Dense("fc", 2) }).contains("input shape"))
    #expect(message(Sequential(input: [0]) { Dense("fc", 2) }).contains("input shape"))
    #expect(message(Sequential(input: [2, 3]) { Dense("fc", 2) }).contains("input shape"))
    #expect(message(Sequential(input: [4]) { Dense("fc", 1) }).contains("at least 2 classes"))
    let twice = message(
      Sequential(input: [4]) {
        Dense("fc", 3)
        Dense("fc", 3)
      })
    #expect(twice.contains("layer 1 (Dense fc)") && twice.contains("fc.weight"))
    let spatial = message(Sequential(input: [1, 6, 6]) { Convolution("conv", channels: 3, kernel: 3) })
    #expect(spatial.contains("3 × 4 × 4") && spatial.contains("Dense"))
    struct Foreign: Layer {
      var kind: String { "Foreign" }
      func outputShape(input: [Int]) throws(ShapeMismatch) -> [Int] { input }
    }
    #expect(message(Sequential(input: [4]) { Foreign() }).contains("layer 0 (Foreign)"))
  }

  @Test func optionsOutOfRangeAreRefused() {
    let model = Sequential(input: [4]) { Dense("fc", 2) }
    #expect(message(model, batchSize: 0).contains("batchSize: received 0"))
    #expect(message(model, PlanOptions(dropoutScale: -0.5)).contains("dropoutScale: received -0.5"))
    #expect(message(model, PlanOptions(dropoutScale: .nan)).contains("dropoutScale"))
    #expect(message(model, PlanOptions(labelSmoothing: 1)).contains("labelSmoothing: received 1"))
    #expect(message(model, PlanOptions(labelSmoothing: -0.1)).contains("labelSmoothing"))
    #expect(message(model) == "accepted")
  }

  @Test func batchesBeyondTheMachinesMemoryAreRefusedWithTheirSize() throws {
    let model = Models.mnist()
    for batchSize in [Int.max, Int(Int32.max) + 1] {
      #expect(message(model, batchSize: batchSize).contains("batchSize: received \(batchSize)"))
    }
    // One tensor alone is too large for any machine, or only all of them together are for this one: the largest has
    // 64 × 24 × 24 floats an example, and another of 32 × 26 × 26 is kept beside it.
    let machine = MemoryBlock.machineByteCount
    for batchSize in [Int(Int32.max), min(machine / (64 * 24 * 24 * 4), Int(Int32.max))] {
      let error = #expect(throws: PlanError.self) { try Plan(model, batchSize: batchSize) }
      guard case .memory(_, let byteCount, machine) = error else {
        Issue.record("\(error.map(\.description) ?? "accepted")")
        continue
      }
      #expect(byteCount > machine)
      let text = error?.description ?? ""
      for part in ["\(batchSize) examples", "\(byteCount) bytes", "--batch-size"] { #expect(text.contains(part)) }
    }
    #expect(try Plan(model, batchSize: 2).memoryByteCount > 2 * (64 * 24 * 24 + 32 * 26 * 26) * 4)
  }

  @Test func tensorsWhoseSizeCannotBeCountedAreRefused() {
    let features = message(
      Sequential(input: [4]) {
        Dense("fc1", 1 << 62)
        Dense("fc2", 2)
      })
    #expect(features.contains("layer 0 (Dense fc1)") && features.contains("\(Int.max) bytes"))
    #expect(message(Sequential(input: [1 << 40, 1 << 40, 1 << 40]) { Flatten() }).contains("the input"))
    #expect(MemoryBlock.byteCount(ofFloats: [3, 5]) == 60)
    for byteCount in [MemoryBlock.machineByteCount + 1, .max] {
      #expect(throws: PlanError.self) { try MemoryBlock(byteCount: byteCount, alignment: 64, for: "a test") }
    }
  }

  @Test func stepsInTheWrongOrderAreRefused() throws {
    let plan = try Plan(Sequential(input: [4]) { Dense("fc", 3) }, batchSize: 2)
    #expect(throws: PlanError.self) { try plan.forward(step: 0, firstExample: 0) }
    #expect(throws: PlanError.self) { try plan.evaluate(count: 1) }
    let gradients = Arena(count: plan.layout.count)
    #expect(throws: PlanError.self) { try plan.bind(gradients: gradients.pointer) }
    let harness = try Harness(Sequential(input: [4]) { Dense("fc", 3) }, batchSize: 2)
    #expect(throws: PlanError.self) { try harness.plan.backward { _ in } }
    try harness.step()
    #expect(throws: PlanError.self) { try harness.plan.backward { _ in } }
    _ = try harness.plan.forward(step: 0, firstExample: 0)
    _ = try harness.plan.evaluate(count: 1)
    #expect(throws: PlanError.self) { try harness.plan.backward { _ in } }
    #expect(throws: PlanError.self) { try harness.plan.evaluate(count: 3) }
    #expect(throws: PlanError.self) { try harness.plan.evaluate(count: -1) }
    #expect(throws: PlanError.self) {
      try harness.plan.writeCanonical(tensor: 2, from: harness.parameters.pointer, to: harness.gradients.pointer)
    }
  }

  @Test(arguments: [Int32(-1), 3, .max])
  func labelsOutOfRangeAreRefused(_ label: Int32) throws {
    let harness = try Harness(Sequential(input: [4]) { Dense("fc", 3) }, batchSize: 2)
    harness.plan.labels[1] = label
    for attempt in [
      { _ = try harness.plan.forward(step: 0, firstExample: 0) }, { _ = try harness.plan.evaluate(count: 2) },
    ] {
      let error = #expect(throws: PlanError.self) { try attempt() }
      #expect(error?.description.contains("example 1") == true)
      #expect(error?.description.contains("\(label)") == true)
    }
  }
}

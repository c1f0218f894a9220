import Neural
import Testing

@Suite struct PlanTests {
  @Test func theMNISTPlanRunsNoReferenceKernels() throws {
    for algorithm in ConvolutionAlgorithm.allCases {
      let plan = try Plan(Models.mnist(), batchSize: 8, options: PlanOptions(convolution: algorithm))
      #expect(plan.primitives.contains { $0.layer == "conv1" && $0.direction == .backwardWeights })
      #expect(plan.primitives.contains { $0.layer == "conv2" && $0.direction == .forward })
      #expect(plan.primitives.contains { $0.layer == "fc1" && $0.direction == .backwardData })
      for record in plan.primitives { #expect(!record.implementation.hasPrefix("ref"), "\(record)") }
      // With AVX-512's blocks of 16 channels, activations are never copied from one layout to another. (On lesser
      // processors oneDNN's kernels do not agree on one.)
      if plan.layout.tensors[2].physicalFormat.contains("16") {
        #expect(!plan.primitives.contains { $0.direction == .reorder && ["conv1", "fc1"].contains($0.layer) })
      }
    }
  }

  @Test func theMNISTLayoutIsPyTorchs() throws {
    let layout = try Plan(Models.mnist(), batchSize: 2).layout
    #expect(
      layout.tensors.map(\.name) == [
        "conv1.weight", "conv1.bias", "conv2.weight", "conv2.bias", "fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias",
      ])
    #expect(
      layout.tensors.map(\.shape) == [
        [32, 1, 3, 3], [32], [64, 32, 3, 3], [64], [128, 9216], [128], [10, 128], [10],
      ])
    #expect(layout.parameterCount == 1_199_882)
    #expect(layout.count % 16 == 0)
    var end = 0
    for tensor in layout.tensors {
      #expect(tensor.offset % 16 == 0 && tensor.offset >= end && tensor.physicalCount >= tensor.elementCount)
      end = tensor.offset + tensor.physicalCount
    }
    #expect(end <= layout.count)
  }

  @Test func fingerprintsTellLayoutsApart() throws {
    func fingerprint(_ name: String, _ features: Int) throws -> String {
      let model = Sequential(input: [7]) {
        Dense(name, features)
        Dense("last", 2)
      }
      return try Plan(model, batchSize: 1).layout.fingerprint
    }
    #expect(try fingerprint("fc", 5) == fingerprint("fc", 5))
    #expect(try fingerprint("fc", 5) != fingerprint("fc", 6))
    #expect(try fingerprint("fc", 5) != fingerprint("fd", 5))
    #expect(try fingerprint("fc", 5).count == 16)
  }

  /// Where both algorithms run, they compute the same thing.
  @Test func winogradAgreesWithDirect() throws {
    let model = NetworkCase.smallMNIST.model
    let direct = try Harness(model, batchSize: 16, options: PlanOptions(convolution: .direct, dropoutScale: 0))
    let winograd = try Harness(model, batchSize: 16, options: PlanOptions(convolution: .winograd, dropoutScale: 0))
    let losses = (try direct.step(), try winograd.step())
    #expect(abs(losses.0 - losses.1) < 1e-5 * abs(losses.0))
    let gradients = (try direct.canonical(direct.gradients), try winograd.canonical(winograd.gradients))
    for (name, gradient) in gradients.0 {
      let other = try #require(gradients.1[name])
      #expect(relativeError(other, gradient.map(Double.init)) < 1e-5, "\(name)")
    }
    if winograd.plan.primitives.contains(where: { $0.implementation.contains("wino") }) {
      #expect(!direct.plan.primitives.contains { $0.implementation.contains("wino") })
    }
  }

  @Test(arguments: NetworkCase.all, [1.0, 0.0])
  func repeatsItself(_ network: NetworkCase, _ dropoutScale: Double) throws {
    func run() throws -> (losses: [UInt64], gradients: [UInt32]) {
      let options = PlanOptions(dropoutScale: dropoutScale, seed: 9)
      let harness = try Harness(network.model, batchSize: network.batch, options: options)
      let losses = try (0..<3).map { try harness.step($0).bitPattern }
      return (losses, harness.gradients.bits)
    }
    let (first, second) = (try run(), try run())
    #expect(first.losses == second.losses)
    #expect(first.gradients == second.gradients)
  }

  @Test func lossScaleScalesGradientsOnly() throws {
    let harness = try Harness(NetworkCase.smallMNIST.model, batchSize: 3)
    harness.plan.lossScale = 1
    let loss = try harness.step()
    let whole = harness.gradients.values
    harness.plan.lossScale = 0.125  // a power of two: nothing rounds
    #expect(try harness.step() == loss)
    #expect(harness.gradients.values == whole.map { $0 * 0.125 })
    #expect(whole.contains { $0 != 0 })
  }

  /// A caller may update what is announced at once: nothing behind the announced offset is read or written again.
  @Test(arguments: NetworkCase.all)
  func announcedGradientsAreFinal(_ network: NetworkCase) throws {
    let harness = try Harness(network.model, batchSize: network.batch, options: PlanOptions(seed: 2))
    try harness.step()
    let expected = harness.gradients.bits
    let layout = harness.plan.layout
    var offsets: [Int] = []
    var end = layout.count
    _ = try harness.plan.forward(step: 0, firstExample: 0)
    try harness.plan.backward { offset in
      offsets.append(offset)
      #expect(Array(harness.gradients.bits[offset..<end]) == Array(expected[offset..<end]))
      // Ruin the parameters that are said to be done with.
      for index in offset..<end { harness.parameters.pointer[index] = .nan }
      end = offset
    }
    #expect(offsets == offsets.sorted(by: >) && offsets.last == 0)
    let layers = Set(layout.tensors.map { $0.name.split(separator: ".")[0] })
    #expect(offsets.count == layers.count)
    #expect(harness.gradients.bits == expected)
  }

  @Test func gradientPaddingIsZero() throws {
    let harness = try Harness(NetworkCase.all[6].model, batchSize: 3)
    let layout = harness.plan.layout
    for index in 0..<layout.count { harness.gradients.pointer[index] = 0 }
    try harness.step()
    for arena in [harness.gradients, harness.parameters] {
      let nonzero = arena.values.filter { $0 != 0 }.count
      let expected = try harness.canonical(arena).values.reduce(0) { $0 + $1.filter { $0 != 0 }.count }
      #expect(nonzero == expected)
    }
  }

  /// Arenas may be changed between steps, as gradient accumulation does.
  @Test func rebindsArenas() throws {
    let harness = try Harness(NetworkCase.smallMNIST.model, batchSize: 2)
    try harness.step()
    let (parameters, gradients) = (Arena(count: harness.plan.layout.count), Arena(count: harness.plan.layout.count))
    parameters.pointer.update(from: harness.parameters.pointer, count: harness.plan.layout.count)
    try harness.plan.bind(parameters: parameters.pointer, gradients: gradients.pointer)
    let former = harness.gradients.bits
    for index in 0..<harness.plan.layout.count { harness.parameters.pointer[index] = .nan }
    try harness.step()
    #expect(gradients.bits == former && harness.gradients.bits == former)
  }

  /// The parameters may be in use elsewhere meanwhile: not even the padding's zeros are written again.
  @Test(arguments: [NetworkCase.all[6], NetworkCase.smallMNIST])
  func rebindsGradientsAlone(_ network: NetworkCase) throws {
    let harness = try Harness(network.model, batchSize: 2)
    try harness.step()
    let former = harness.gradients.bits
    let gradients = Arena(count: harness.plan.layout.count)
    let parameters = harness.parameters.values
    for index in 0..<parameters.count { harness.parameters.pointer[index] = 7 }
    try harness.plan.bind(gradients: gradients.pointer)
    #expect(harness.parameters.values.allSatisfy { $0 == 7 })
    for index in 0..<parameters.count { harness.parameters.pointer[index] = parameters[index] }
    for index in 0..<former.count { harness.gradients.pointer[index] = 5 }
    try harness.step()
    #expect(gradients.bits == former && gradients.isGuardIntact)
    #expect(harness.gradients.values.allSatisfy { $0 == 5 })
  }

  @Test(arguments: [0, 1, 3, 5])
  func evaluationCountsTheFirstExamplesOnly(_ count: Int) throws {
    let harness = try Harness(NetworkCase.smallMNIST.model, batchSize: 5, options: PlanOptions(labelSmoothing: 0.1))
    let all = try harness.plan.evaluate(count: 5)
    for index in count..<5 {
      harness.plan.labels[index] = -1  // never looked at
      for pixel in 0..<144 { harness.plan.input[index * 144 + pixel] = 7 }
    }
    let part = try harness.plan.evaluate(count: count)
    let single = try Harness(
      NetworkCase.smallMNIST.model, batchSize: 1, options: PlanOptions(labelSmoothing: 0.1))
    var (sum, correct) = (0.0, 0)
    for index in 0..<count {
      for pixel in 0..<144 { single.plan.input[pixel] = harness.plan.input[index * 144 + pixel] }
      single.plan.labels[0] = harness.plan.labels[index]
      let one = try single.plan.evaluate(count: 1)
      sum += one.lossSum
      correct += one.correct
    }
    #expect(abs(part.lossSum - sum) <= 1e-5 * abs(sum))
    #expect(part.correct == correct)
    if count == 5 { #expect(part == all) }
  }

  @Test func evaluationHasNoDropoutAndIsTheReferences() throws {
    let harness = try Harness(NetworkCase.smallMNIST.model, batchSize: 4, options: PlanOptions(seed: 3))
    let evaluated = try harness.plan.evaluate(count: 4).lossSum
    let expected = try harness.reference().loss
    #expect(abs(evaluated - expected) < 1e-5 * expected)
    #expect(abs(try harness.plan.forward(step: 0, firstExample: 0) - expected) > 1e-4 * expected)
  }

  @Test(arguments: [0.0, 0.1, 0.9])
  func labelSmoothingIsTheFormulas(_ smoothing: Double) throws {
    let model = Sequential(input: [4]) { Dense("fc", 3) }
    let harness = try Harness(model, batchSize: 2, options: PlanOptions(labelSmoothing: smoothing))
    let loss = try harness.step()
    // Logits and gradient written out: one layer, so that the weights' gradient is Σ (softmax - q) ⊗ input.
    let parameters = try harness.canonical(harness.parameters).mapValues { $0.map(Double.init) }
    let (weight, bias) = (try #require(parameters["fc.weight"]), try #require(parameters["fc.bias"]))
    var (expected, gradient) = (0.0, [Double](repeating: 0, count: 12))
    for example in 0..<2 {
      let input = (0..<4).map { Double(harness.plan.input[example * 4 + $0]) }
      var logits = bias
      for row in 0..<3 {
        for column in 0..<4 { logits[row] += weight[row * 4 + column] * input[column] }
      }
      let (value, slope) = ReferenceNetwork.crossEntropy(
        logits, label: Int(harness.plan.labels[example]), smoothing: smoothing)
      expected += value
      for index in 0..<12 { gradient[index] += slope[index / 4] * input[index % 4] }
    }
    #expect(abs(loss - expected) < 1e-6 * expected)
    #expect(relativeError(try #require(try harness.canonical(harness.gradients)["fc.weight"]), gradient) < 1e-6)
  }
}

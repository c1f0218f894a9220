import CKernels
import Neural
import Testing

@Suite struct DropoutTests {
  /// Known answers of the generator's authors (Random123's kat_vectors, philox4x32 with 10 rounds).
  @Test func philoxGivesTheKnownAnswers() {
    func philox(_ counter: [UInt32], _ key: [UInt32]) -> [UInt32] {
      var out = [UInt32](repeating: 0, count: 4)
      fw_philox4x32(counter, key, &out)
      return out
    }
    #expect(philox([0, 0, 0, 0], [0, 0]) == [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8])
    let ones = UInt32.max
    #expect(philox([ones, ones, ones, ones], [ones, ones]) == [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd])
    #expect(
      philox([0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344], [0xa409_3822, 0x299f_31d0])
        == [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1])
  }

  private func template(_ threshold: UInt32, seed: UInt64 = 1, step: UInt32 = 2, layer: UInt32 = 3) -> fw_dropout {
    fw_dropout(seed: seed, step: step, layer: layer, threshold: threshold, scale: 65536 / (65536 - Float(threshold)))
  }

  /// The mask over some examples: what ones become.
  private func mask(_ examples: Int, _ count: Int, first: UInt64 = 0, _ dropout: fw_dropout) -> [Float] {
    var values = [Float](repeating: 1, count: examples * count)
    var dropout = dropout
    values.withUnsafeMutableBufferPointer {
      fw_dropout_forward($0.baseAddress, $0.baseAddress, examples, count, first, false, &dropout)
    }
    return values
  }

  @Test(arguments: [UInt32(1), 6554, 16384, 32768, 65535])
  func dropsAsOftenAsItSaysAndKeepsTheMean(_ threshold: UInt32) {
    let values = mask(64, 1027, template(threshold))
    let count = Double(values.count)
    let probability = Double(threshold) / 65536
    let dropped = Double(values.filter { $0 == 0 }.count)
    let deviation = (count * probability * (1 - probability)).squareRoot()
    #expect(abs(dropped - count * probability) <= 5 * deviation + 1)
    let scale = Float(65536 / (65536 - Double(threshold)))
    #expect(values.allSatisfy { $0 == 0 || $0 == scale })
  }

  @Test func everyPartOfTheKeyMatters() {
    let base = mask(3, 200, template(32768))
    #expect(mask(3, 200, template(32768)) == base)
    #expect(mask(3, 200, template(32768, seed: 2)) != base)
    #expect(mask(3, 200, template(32768, seed: 1 << 32 | 1)) != base)
    #expect(mask(3, 200, template(32768, step: 3)) != base)
    #expect(mask(3, 200, template(32768, layer: 4)) != base)
    #expect(mask(3, 200, first: 1 << 32, template(32768)) != base)
    // Examples differ from one another, and about half of the elements agree by chance.
    let agreeing = zip(base[0..<200], base[200..<400]).filter { $0 == $1 }.count
    #expect(agreeing > 60 && agreeing < 140)
    // An example's mask goes with its number, not with its place.
    #expect(Array(mask(1, 200, first: 2, template(32768))) == Array(base[400..<600]))
  }

  @Test(arguments: [1, 15, 16, 63, 64, 65, 200])
  func passesAgreeOnTheMask(_ count: Int) {
    var random = SplitMix(state: 4)
    let input = (0..<3 * count).map { _ in random.uniform() }
    var dropout = template(20000)
    var output = [Float](repeating: .nan, count: input.count)
    fw_dropout_forward(input, &output, 3, count, 5, true, &dropout)
    let kept = mask(3, count, first: 5, dropout)
    #expect(output == zip(input, kept).map { max($0, 0) * $1 })
    // Backward: drawn again, or read off the output.
    var (again, masked) = (input, input)
    fw_dropout_add(FW_FLOAT32, input, nil, &again, 3, count, 5, &dropout)
    #expect(again == zip(input, kept).map { $0 * $1 })
    fw_tensor_relu_backward(FW_FLOAT32, output, input, dropout.scale, &masked, input.count)
    #expect(masked == zip(input, output).map { $1 > 0 ? $0 * dropout.scale : 0 })
  }

  @Test func notANumberIsNotHidden() {
    var (input, output): ([Float], [Float]) = ([1, .nan, -1], [0, 0, 0])
    fw_tensor_relu(FW_FLOAT32, input, &output, 3)
    #expect(output[0] == 1 && output[1].isNaN && output[2] == 0)
    // In any place of a pooling's window.
    for place in 0..<4 {
      input = [Float](repeating: 1, count: 4 * 16)
      input[place * 16] = .nan
      var (pooled, index) = ([Float](repeating: 0, count: 16), [UInt8](repeating: 9, count: 16))
      var dropout = fw_dropout()
      withAligned(input) { source in
        withAligned(pooled) { target in
          fw_max_pool2_forward(source, target, &index, 1, 1, 2, 2, 0, true, &dropout)
          pooled = Array(UnsafeBufferPointer(start: target, count: 16))
        }
      }
      #expect(pooled[0].isNaN && Int(index[0]) == place)
      #expect(pooled[1...].allSatisfy { $0 == 1 } && index[1...].allSatisfy { $0 == 0 })
    }
  }

  private func withAligned(_ values: [Float], _ body: (UnsafeMutablePointer<Float>) -> Void) {
    let arena = Arena(count: values.count)
    for (index, value) in values.enumerated() { arena.pointer[index] = value }
    body(arena.pointer)
  }

  /// The same examples give the same losses whichever plan computes them and wherever in its batch they lie.
  @Test(arguments: [NetworkCase.smallMNIST, GradientTests.dropoutAlone])
  func exampleCarriesItsDropoutAlong(_ network: NetworkCase) throws {
    let whole = try Harness(network.model, batchSize: 6, options: PlanOptions(seed: 4))
    let half = try Harness(network.model, batchSize: 3, options: PlanOptions(seed: 4))
    let size = whole.plan.input.count / 6
    let total = try whole.step(12, firstExample: 100)
    let gradient = whole.gradients.values.map(Double.init)
    var sum = 0.0
    var gradients = [Float](repeating: 0, count: gradient.count)
    for part in 0..<2 {
      for index in 0..<3 * size { half.plan.input[index] = whole.plan.input[part * 3 * size + index] }
      for index in 0..<3 { half.plan.labels[index] = whole.plan.labels[part * 3 + index] }
      sum += try half.step(12, firstExample: 100 + 3 * part)
      gradients = zip(gradients, half.gradients.values).map { $0 + $1 }
    }
    #expect(abs(sum - total) < 1e-6 * total)
    #expect(relativeError(gradients, gradient) < 1e-5)
    // And not by chance: other steps and examples have other masks.
    #expect(abs(try whole.step(13, firstExample: 100) - total) > 1e-4 * total)
    #expect(abs(try whole.step(12, firstExample: 101) - total) > 1e-4 * total)
  }

  /// What a ReLU and a dropout put out has no negative element, so that a second ReLU changes nothing: the dropout
  /// before it least of all.
  @Test(arguments: [7, 16], [false, true])
  func aSecondReLUBehindAPoolingKeepsTheDropout(_ channels: Int, _ isBeforePooling: Bool) throws {
    func run(dropoutScale: Double, endsInReLU: Bool) throws -> (loss: Double, gradients: [UInt32]) {
      let network = NetworkCase.pooledDropout("", channels: channels) {
        if isBeforePooling { ReLU() }
        MaxPool(2)
        if !isBeforePooling { ReLU() }
        Dropout(0.5)
        if endsInReLU { ReLU() }
      }
      let options = PlanOptions(dropoutScale: dropoutScale, seed: 6)
      let harness = try Harness(network.model, batchSize: network.batch, options: options)
      return (try harness.step(3), harness.gradients.bits)
    }
    let (one, two) = (
      try run(dropoutScale: 1, endsInReLU: false), try run(dropoutScale: 1, endsInReLU: true)
    )
    #expect(two.loss == one.loss && two.gradients == one.gradients)
    let without = try run(dropoutScale: 0, endsInReLU: true)
    #expect(abs(two.loss - without.loss) > 1e-4 * without.loss)
  }

  /// However probable it is that an element is dropped: what is kept stays finite.
  @Test func almostCertainDropoutStaysFinite() throws {
    let model = Sequential(input: [64]) {
      Dropout(1 - 1e-9)
      Dense("fc1", 64)
      GELU()
      Dropout(0.999_999)
      Dense("fc2", 3)
    }
    let harness = try Harness(model, batchSize: 64, options: PlanOptions(seed: 1))
    for step in 0..<20 { #expect(try harness.step(step).isFinite) }
    #expect(harness.gradients.values.allSatisfy { $0.isFinite })
  }

  @Test func scaleZeroTurnsDropoutOff() throws {
    let off = try Harness(NetworkCase.smallMNIST.model, batchSize: 3, options: PlanOptions(dropoutScale: 0, seed: 1))
    let loss = try off.step(1)
    #expect(try off.step(2) == loss)
    let half = try Harness(NetworkCase.smallMNIST.model, batchSize: 3, options: PlanOptions(dropoutScale: 0.5, seed: 1))
    #expect(try half.step(1) != half.step(2))
  }
}

import Testing

@testable import Neural

/// The yardstick: what oneDNN has for each part of a step, timed alone.
@Suite struct PlanProfileTests {
  /// Precisions in which this processor can compute.
  static let precisions = Precision.allCases.filter { $0 == .float32 || Precision.hasBFloat16Kernels }

  /// Residual blocks with and without projection, and another activation, on images.
  private static let convolutional = Sequential(input: [3, 8, 8]) {
    Convolution("conv1", channels: 16, kernel: 3, padding: 1, bias: false)
    BatchNorm("bn1")
    ReLU()
    Residual {
      Convolution("block.conv1", channels: 16, kernel: 3, padding: 1, bias: false)
      BatchNorm("block.bn1")
      GELU(approximation: .tanh)
      Convolution("block.conv2", channels: 16, kernel: 3, padding: 1, bias: false)
      BatchNorm("block.bn2")
    }
    ReLU()
    GlobalAveragePool()
    Dense("fc", 10)
  }

  private static let transformer = Sequential(input: [3, 8, 8]) {
    PatchEmbedding("patches", features: 32, patch: 4)
    ClassToken("token")
    Residual {
      LayerNorm("norm1")
      MultiHeadSelfAttention("attention", heads: 2, dropout: 0.1)
    }
    Residual {
      LayerNorm("norm2")
      Dense("linear1", 64)
      GELU(approximation: .tanh)
      Dropout(0.1)
      Dense("linear2", 32)
      Dropout(0.1)
    }
    TokenSelection(0)
    Dense("fc", 10)
  }

  private func timings(
    _ model: Sequential, _ precision: Precision, _ clock: ProfileClock = .wall
  ) throws -> [PrimitiveTiming] {
    let plan = try Plan(model, batchSize: 4, options: PlanOptions(precision: precision))
    let timings = try plan.timePrimitives(repetitions: 1, clock: clock)
    for timing in timings {
      #expect(timing.seconds > 0 && !timing.record.implementation.isEmpty, "\(timing.record)")
      #expect(timing.record.direction == .reorder ? timing.bestSeconds == 0 : timing.bestSeconds > 0)
      #expect(timing.bestSeconds <= timing.seconds)
    }
    return timings
  }

  private func equivalents(
    _ timings: [PrimitiveTiming], _ layer: String, _ direction: PrimitiveRecord.Direction
  ) -> [String] {
    timings.filter { $0.record.layer == layer && $0.record.direction == direction }.compactMap(\.equivalent)
  }

  @Test(arguments: precisions)
  func batchNormalisationsStandWithWhatIsFusedIntoThem(precision: Precision) throws {
    let timings = try timings(Self.convolutional, precision)
    #expect(equivalents(timings, "bn1", .forward) == ["batch norm+ReLU"])
    // Its output has two readers, the block's body and its shortcut.
    #expect(equivalents(timings, "bn1", .backwardData) == ["sum", "batch norm+ReLU"])
    #expect(equivalents(timings, "block.bn1", .forward) == ["batch norm", "geluTanh"])
    #expect(equivalents(timings, "block.bn1", .backwardData) == ["geluTanh", "batch norm"])
    #expect(equivalents(timings, "block.bn2", .forward) == ["batch norm", "sum+ReLU"])
    #expect(equivalents(timings, "block.bn2", .backwardData) == ["relu", "batch norm"])
  }

  @Test(arguments: precisions)
  func transformersStandWithTheirProductsAndNorms(precision: Precision) throws {
    let timings = try timings(Self.transformer, precision, .processor)
    #expect(equivalents(timings, "norm1", .forward) == ["layer norm"])
    #expect(equivalents(timings, "norm2", .backwardData) == ["layer norm", "sum"])
    #expect(equivalents(timings, "attention", .forward) == ["matrix product", "softmax", "matrix product"])
    #expect(
      equivalents(timings, "attention", .backwardData) == [
        "matrix product", "matrix product", "softmax", "matrix product", "matrix product",
      ])
    #expect(timings.count { $0.equivalent == "geluTanh" } == 2)
  }

  /// Every normalisation of the networks that people compare has a primitive beside it.
  @Test func everyNormalisationOfTheModelsHasAnEquivalent() throws {
    for name in ["resnet20", "resnet9", "whitened"] {
      let make = try #require(Models.byName[name])
      let program = try Program(make(), batchSize: 2, options: PlanOptions(), usesFusedKernels: false)
      for operations in [program.forward, program.backward] {
        let found = operations.compactMap { ($0 as? KernelOperation)?.equivalents }.joined()
        #expect(found.count { $0.name.hasPrefix("batch norm") } == program.statistics.count, "\(name)")
      }
    }
  }

  /// A primitive on channels that fill no block, and on matrices.
  @Test(arguments: precisions)
  func oddShapesAreTimed(precision: Precision) throws {
    let engine = try Engine()
    let odd = try MemoryDescriptor.blocked16([2, 19, 3, 5], precision)
    let rows = try MemoryDescriptor.plain([7, 33], precision)
    let stream = try Stream(engine)
    let work: [Equivalent.Work] = [
      .batchNormalization(odd, isRectified: true), .batchNormalizationBackward(odd, isRectified: true),
      .batchNormalization(odd, isRectified: false), .batchNormalizationBackward(odd, isRectified: false),
      .sum(odd, isRectified: true), .sum(rows, isRectified: false), .layerNormalization(rows),
      .layerNormalizationBackward(rows), .softmax(rows), .softmaxBackward(rows),
    ]
    for work in work + Activation.allCases.flatMap({ [.activation($0, odd), .activationBackward($0, rows)] }) {
      let equivalent = Equivalent("layer", work)
      let primitive = try #require(try equivalent.primitive(engine), "\(equivalent.name)")
      #expect(try primitive.time(1, .wall, on: stream) > 0)
    }
  }
}

import Neural
import Testing

/// The networks that the examples share.
@Suite struct ModelTests {
  static let names = Models.byName.keys.sorted()

  private func model(_ name: String) throws -> Sequential {
    let make = try #require(Models.byName[name])
    return make()
  }

  @Test(arguments: [
    ("mnist", 1_199_882), ("resnet20", 272_474), ("resnet18", 11_173_962), ("wrn-16-8", 10_961_370),
    ("resnet9", 6_573_120), ("vit-tiny", 556_042),
  ])
  func parameterCounts(_ name: String, _ count: Int) throws {
    #expect(try Plan(model(name), batchSize: 1).layout.parameterCount == count)
  }

  /// oneDNN's plain loops, which are many times slower, are called `ref`; reorders count too.
  @Test(arguments: names, Precision.available)
  func noReferenceKernels(_ name: String, _ precision: Precision) throws {
    for algorithm in ConvolutionAlgorithm.allCases {
      // Winograd is for single precision only.
      if precision == .bfloat16 && algorithm == .direct { continue }
      for batchSize in [1, 7, 64] {
        let plan = try Plan(
          model(name), batchSize: batchSize, options: PlanOptions(convolution: algorithm, precision: precision))
        #expect(!plan.primitives.isEmpty)
        for record in plan.primitives {
          #expect(!record.implementation.hasPrefix("ref"), "batch \(batchSize), \(algorithm): \(record)")
        }
      }
    }
  }

  /// In either precision; and those agree on the losses of untrained networks.
  @Test(arguments: names)
  func announcedGradientsAreFinal(_ name: String) throws {
    let losses = try Precision.available.map { precision in
      let harness = try Harness(model(name), batchSize: 2, options: PlanOptions(seed: 2, precision: precision))
      return try AnnouncementCheck.run(harness)
    }
    for loss in losses { #expect(abs(loss - losses[0]) < 3e-2 * losses[0], "\(losses)") }
  }
}

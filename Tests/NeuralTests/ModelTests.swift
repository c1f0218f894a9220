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

  @Test(arguments: names, Precision.available)
  func announcedGradientsAreFinal(_ name: String, _ precision: Precision) throws {
    let harness = try Harness(model(name), batchSize: 2, options: PlanOptions(seed: 2, precision: precision))
    try AnnouncementCheck.run(harness)
  }

  /// Losses of untrained networks, by either precision.
  @Test(.enabled(if: Precision.available.contains(.bfloat16)), arguments: names)
  func bfloat16AgreesWithFloat32(_ name: String) throws {
    func loss(_ precision: Precision) throws -> Double {
      let harness = try Harness(model(name), batchSize: 2, options: PlanOptions(seed: 2, precision: precision))
      return try harness.plan.forward(step: 0, firstExample: 0)
    }
    let (single, half) = (try loss(.float32), try loss(.bfloat16))
    #expect(abs(single - half) < 3e-2 * single, "\(single), \(half)")
  }
}

import Testing

@testable import ScheduleFree

@Suite("Kernels find what is not finite")
struct NonFiniteTests {
  @Test("One gradient that is not finite is found, wherever it is and however y is stored; finite ones are not")
  func found() throws {
    var random = TestRandom(seed: 11)
    for (name, options) in busyOptions {
      let rule = try OptimizerRegistry.makeRule(named: name, options: options)
      for (count, offset, streams) in [(1, 0, false), (15, 1, false), (64, 0, true), (65, 0, true), (1031, 0, true)] {
        for spoiled in Set([0, count / 2, count - 1]) {
          for value in [Float.nan, .infinity, -.infinity] {
            let parameters = random.values(count)
            let simulation = Simulation<Float>(rule, parameters: parameters, offset: offset)
            simulation.streamsY = streams
            for _ in 0..<6 { simulation.step([random.values(count), random.values(count)]) }
            let what = "\(name), element \(spoiled) of \(count) at offset \(offset)"
            #expect(!simulation.foundNonFinite, "\(what): found without reason")
            var gradient = random.values(count)
            gradient[spoiled] = value
            simulation.step([random.values(count), gradient])
            #expect(simulation.foundNonFinite, "\(what): \(value) is not found")
          }
        }
      }
    }
  }

  @Test("The largest finite number is finite")
  func largest() throws {
    let rule = try OptimizerRegistry.makeRule(
      named: "sgd", options: OptimizerOptions([.momentum: 0, .learningRate: 1]))
    for value in [Float.greatestFiniteMagnitude, -.greatestFiniteMagnitude, .leastNonzeroMagnitude, -0.0] {
      let simulation = Simulation<Float>(rule, parameters: [Float](repeating: 0, count: 70))
      simulation.step([[Float](repeating: value, count: 70)])
      #expect(!simulation.foundNonFinite && simulation.y[69] == -value)
    }
  }
}

// Counts the heap allocations of whole training steps of the MNIST network, for the test that wants none of ours.
// Prints `steps N ours N library N first NAME`. With the argument `leaky` each step makes an array, to show that the
// counter would see it.
import CAllocationCounter
import Neural

struct Probe {
  let plan: Plan
  let isLeaky: Bool
  var kept: [Int] = []
  var announced = 0
  var lossSum = 0.0

  init(isLeaky: Bool) throws {
    self.isLeaky = isLeaky
    plan = try Plan(Models.mnist(), batchSize: 4, options: PlanOptions(seed: 1))
    let count = plan.layout.count
    // Lives as long as the program.
    let arenas = UnsafeMutableRawPointer.allocate(byteCount: 2 * count * 4, alignment: 64)
      .bindMemory(to: Float.self, capacity: 2 * count)
    arenas.initialize(repeating: 0, count: 2 * count)
    try plan.initializeParameters(seed: 1, into: arenas)
    try plan.bind(parameters: arenas, gradients: arenas + count)
  }

  mutating func run(steps: Int) throws {
    for step in 0..<steps {
      lossSum += try plan.forward(step: step, firstExample: 0)
      try plan.backward { announced += $0 }
      if isLeaky { kept = [step, step] }
    }
    lossSum += try plan.evaluate(count: 3).lossSum
  }
}

var probe = try Probe(isLeaky: CommandLine.arguments.dropFirst().first == "leaky")
try probe.run(steps: 2)
allocation_counter_start()
try probe.run(steps: 5)
allocation_counter_stop()
let first = String(cString: allocation_counter_first())
print(
  "steps 5 ours \(allocation_counter_ours()) library \(allocation_counter_library())",
  "first \(first.isEmpty ? "none" : first)")

// Counts the heap allocations of whole training steps of a network, for the test that wants none of ours.
// Prints `steps N ours N library N first NAME`. Arguments: the network, `mnist`, `residual` or `transformer`, and the
// precision, `float32` or `bfloat16`; or `leaky`: each step makes an array, to show that the counter would see it.
import CAllocationCounter
import Neural

/// As the residual networks, with each kind of block, or as the vision transformer; small.
func network(_ name: String) -> Sequential {
  switch name {
  case "residual":
    Sequential(input: [3, 12, 12]) {
      Convolution("conv1", channels: 16, kernel: 3, padding: 1, bias: false)
      BatchNorm("bn1")
      ReLU()
      Residual {
        Convolution("conv2", channels: 16, kernel: 3, padding: 1, bias: false)
        BatchNorm("bn2")
        ReLU()
        Convolution("conv3", channels: 16, kernel: 3, padding: 1, bias: false)
        BatchNorm("bn3")
      }
      ReLU()
      Residual {
        Convolution("conv4", channels: 32, kernel: 3, stride: 2, padding: 1, bias: false)
        BatchNorm("bn4")
        GELU(approximation: .tanh)
        Dropout(0.1)
      } shortcut: {
        Convolution("downsample", channels: 32, kernel: 1, stride: 2, bias: false)
      }
      MaxPool(2)
      AveragePool(2, stride: 1)
      SiLU()
      GlobalAveragePool()
      Dense("fc", 10)
      Scale(0.125)
    }
  case "transformer":
    Sequential(input: [3, 16, 16]) {
      PatchEmbedding("patch_embedding", features: 32, patch: 4)
      PositionEmbedding(sineCosineOfRows: 4)
      ClassToken("class_token")
      PositionEmbedding("position_embedding")
      Residual {
        LayerNorm("norm1")
        MultiHeadSelfAttention("attention", heads: 4, dropout: 0.3)
      }
      Residual {
        LayerNorm("norm2")
        Dense("linear1", 64)
        GELU(approximation: .tanh)
        Dropout(0.3)
        Dense("linear2", 32)
        Dropout(0.3)
      }
      TokenSelection(0)
      Dense("fc", 10)
    }
  default: Models.mnist()
  }
}

struct Probe {
  let plan: Plan
  let isLeaky: Bool
  var kept: [Int] = []
  var announced = 0
  var lossSum = 0.0

  init(_ network: Sequential, _ precision: Precision, isLeaky: Bool) throws {
    self.isLeaky = isLeaky
    plan = try Plan(network, batchSize: 4, options: PlanOptions(seed: 1, precision: precision))
    let count = plan.layout.count
    // Lives as long as the program.
    let arenas = UnsafeMutableRawPointer.allocate(byteCount: 2 * count * 4, alignment: 64)
      .bindMemory(to: Float.self, capacity: 2 * count)
    arenas.initialize(repeating: 0, count: 2 * count)
    try plan.initializeParameters(seed: 1, into: arenas)
    try plan.bind(parameters: arenas, gradients: arenas + count)
  }

  private static let weights: [Float] = [0.5, 0.5]

  mutating func run(steps: Int) throws {
    var views = 0
    for step in 0..<steps {
      lossSum += try plan.forward(step: step, firstExample: 0)
      try plan.backward { announced += $0 }
      if isLeaky { kept = [step, step] }
    }
    lossSum += try plan.evaluate(count: 3, weights: Self.weights) { views += $0 }.lossSum
    try plan.accumulateStatistics(step: -1, firstExample: 0)
  }
}

let arguments = CommandLine.arguments.dropFirst()
var probe = try Probe(
  network(arguments.first ?? "mnist"), arguments.last.flatMap(Precision.init) ?? .float32,
  isLeaky: arguments.first == "leaky")
try probe.run(steps: 2)
allocation_counter_start()
try probe.run(steps: 5)
allocation_counter_stop()
let first = String(cString: allocation_counter_first())
print(
  "steps 5 ours \(allocation_counter_ours()) library \(allocation_counter_library())",
  "first \(first.isEmpty ? "none" : first)")

import CKernels
import Foundation
import Testing

/// Operands of a batch normalisation, drawn from a fixed sequence, and what the kernels and the definition make of
/// them.
struct BatchNormalizationProblem {
  typealias Tests = BatchNormalizationKernelTests

  /// Elements in the order of examples, channels and pixels.
  struct Result: Equatable {
    var mean: [Double] = []
    var rstd: [Double] = []
    var output: [Double] = []
    var dgamma: [Double] = []
    var dbeta: [Double] = []
    /// The kernels do not write it where nobody needs it.
    var residual: [Double]?
    var source: [Double] = []
  }

  struct Expected {
    var mean: [Double]
    var rstd: [Double]
    var output: [Double]
    var dgamma: [Double]
    var dbeta: [Double]
    var residual: [Double]
    var source: [Double]
  }

  let test: Tests.Case
  let function: Tests.Function
  let epsilon = 1e-5
  let source, residual, first, second: ImageTensor
  let gamma, beta: [Float]

  init(_ test: Tests.Case, _ function: Tests.Function) {
    (self.test, self.function) = (test, function)
    var random = SplitMix(state: 3)
    func draw() -> Double { Double(random.uniform()) }
    func tensor(_ centre: (Int) -> Double = { _ in 0 }) -> ImageTensor {
      let tensor = ImageTensor(test.layout, test.storage)
      tensor.fill { _, channel, _ in centre(channel) + draw() }
      return tensor
    }
    source = tensor { $0 % 3 == 0 ? 2 : -0.5 }
    (residual, first, second) = (tensor(), tensor(), tensor())
    gamma = (0..<test.channels).map { _ in Float(1 + draw() / 2) }
    beta = (0..<test.channels).map { _ in Float(draw()) }
  }

  private var count: Double { Double(test.examples * test.area) }

  func run(inPlace: Bool = false) -> Result {
    var layout = test.layout
    let (channels, storage) = (test.channels, test.storage)
    // Filled, because a result must not rest on what was there.
    func working() -> [Float] { [Float](repeating: .nan, count: fw_channel_count(channels)) }
    var (mean, rstd, scale, shift) = (working(), working(), working(), working())
    var (slope, offset) = (working(), working())
    var (dgamma, dbeta) = ([Float](repeating: .nan, count: channels), [Float](repeating: .nan, count: channels))
    var sums = [Double](repeating: .nan, count: 2 * channels)

    fw_batch_norm_statistics(&layout, storage, source.pointer, &mean, &sums)
    fw_batch_norm_channels(channels, count, sums, gamma, beta, epsilon, &mean, &rstd, &scale, &shift)
    let added = function.hasResidual ? residual.copy() : nil
    // Over the residual, which only a ReLU does not need again; else over a copy of the source.
    let output = inPlace ? (function.activation == FW_RELU ? added : nil) ?? source.copy() : filled()
    let read = inPlace && output !== added ? output : source
    fw_batch_norm_apply(
      &layout, storage, read.pointer, scale, shift, added?.pointer, function.activation, output.pointer)

    var result = Result()
    result.mean = mean.prefix(channels).map(Double.init)
    result.rstd = rstd.prefix(channels).map(Double.init)
    result.output = values(output)

    let isSimple = function.activation == FW_IDENTITY || function.activation == FW_RELU
    let masks = function.activation == FW_RELU && !function.hasResidual && !function.hasSecond
    let writes = !isSimple || function.hasResidual || function.hasSecond
    let other = function.hasResidual ? (function.activation == FW_RELU ? output : added) : nil
    let gradient = inPlace ? first.copy() : first
    let dz = writes ? (inPlace ? gradient : filled()) : nil
    mean.withUnsafeBufferPointer { mean in
      scale.withUnsafeBufferPointer { scale in
        shift.withUnsafeBufferPointer { shift in
          var input = fw_batch_norm_input(
            x: UnsafeRawPointer(source.pointer), mean: mean.baseAddress, scale: scale.baseAddress,
            shift: shift.baseAddress, activation: function.activation, other: other.map { UnsafeRawPointer($0.pointer) }
          )
          fw_batch_norm_backward_reduce(
            &layout, storage, &input, gradient.pointer, function.hasSecond ? second.pointer : nil, dz?.pointer, &sums)
          fw_batch_norm_parameter_gradients(channels, sums, rstd, &dgamma, &dbeta)
          fw_batch_norm_backward_channels(
            channels, count, sums, mean.baseAddress, rstd, scale.baseAddress, &slope, &offset)
          if let dz { result.residual = values(dz) }
          let target = inPlace ? dz ?? gradient : filled()
          fw_batch_norm_backward_apply(
            &layout, storage, &input, (dz ?? gradient).pointer, masks, slope, offset, target.pointer)
          result.source = values(target)
          for tensor in [output, dz, target].compactMap({ $0 }) {
            #expect(tensor.isGuardIntact && tensor.isPaddingZero)
          }
        }
      }
    }
    result.dgamma = dgamma.map(Double.init)
    result.dbeta = dbeta.map(Double.init)
    return result
  }

  func reference() -> Expected {
    let x = values(source)
    let (mean, rstd) = moments(x)
    let gradients = zip(values(first), values(second)).map { function.hasSecond ? $0 + $1 : $0 }
    var output = x, dz = x, normalized = x
    let added = values(residual)
    for i in x.indices {
      let channel = i / test.area % test.channels
      normalized[i] = (x[i] - mean[channel]) * rstd[channel]
      let u = self.value(normalized[i], channel, added[i])
      output[i] = activation(u)
      dz[i] = gradients[i] * derivative(u)
    }
    var dgamma = [Double](repeating: 0, count: test.channels), dbeta = dgamma
    for i in x.indices {
      dbeta[i / test.area % test.channels] += dz[i]
      dgamma[i / test.area % test.channels] += dz[i] * normalized[i]
    }
    let dx = x.indices.map { i in
      let channel = i / test.area % test.channels
      let centred = dz[i] - dbeta[channel] / count - normalized[i] * dgamma[channel] / count
      return Double(gamma[channel]) * rstd[channel] * centred
    }
    return Expected(
      mean: mean, rstd: rstd, output: output, dgamma: dgamma, dbeta: dbeta, residual: dz, source: dx)
  }

  /// The sum of the output times the gradients, with one element of the source moved.
  func loss(moving index: Int, by step: Double) -> Double {
    var x = values(source)
    x[index] += step
    let (mean, rstd) = moments(x)
    let (one, two, added) = (values(first), values(second), values(residual))
    return x.indices.reduce(0) { sum, i in
      let channel = i / test.area % test.channels
      let y = activation(value((x[i] - mean[channel]) * rstd[channel], channel, added[i]))
      return sum + y * (one[i] + (function.hasSecond ? two[i] : 0))
    }
  }

  private func moments(_ x: [Double]) -> (mean: [Double], rstd: [Double]) {
    var mean = [Double](repeating: 0, count: test.channels), variance = mean
    for i in x.indices { mean[i / test.area % test.channels] += x[i] / count }
    for i in x.indices {
      let deviation = x[i] - mean[i / test.area % test.channels]
      variance[i / test.area % test.channels] += deviation * deviation / count
    }
    return (mean, variance.map { 1 / ($0 + epsilon).squareRoot() })
  }

  private func value(_ normalized: Double, _ channel: Int, _ added: Double) -> Double {
    Double(gamma[channel]) * normalized + Double(beta[channel]) + (function.hasResidual ? added : 0)
  }

  private func activation(_ u: Double) -> Double {
    switch function.activation {
    case FW_RELU: max(u, 0)
    case FW_GELU_TANH: 0.5 * u * (1 + tanh((2 / Double.pi).squareRoot() * (u + 0.044715 * u * u * u)))
    case FW_SILU: u / (1 + exp(-u))
    default: u
    }
  }

  private func derivative(_ u: Double) -> Double {
    switch function.activation {
    case FW_RELU: return u > 0 ? 1 : 0
    case FW_GELU_TANH, FW_SILU:
      let step = 1e-5
      return (activation(u + step) - activation(u - step)) / (2 * step)
    default: return 1
    }
  }

  private func filled() -> ImageTensor {
    let tensor = ImageTensor(test.layout, test.storage)
    for i in 0..<tensor.count { tensor[i] = .nan }
    return tensor
  }

  private func values(_ tensor: ImageTensor) -> [Double] {
    var values: [Double] = []
    for example in 0..<test.examples {
      for channel in 0..<test.channels {
        for pixel in 0..<test.area { values.append(tensor[example, channel, pixel]) }
      }
    }
    return values
  }
}

import Foundation

@testable import Neural

/// Networks computed in double precision by the plainest loops there are, dropout left out. What plans are compared
/// with.
struct ReferenceNetwork {
  private let model: Sequential
  var parameters: [String: [Double]]

  init(_ model: Sequential, parameters: [String: [Double]]) throws {
    self.model = model
    self.parameters = parameters
  }

  /// Sum of the losses over the batch, and its gradient with respect to every parameter.
  func lossAndGradients(
    input: [Double], labels: [Int], batch: Int, smoothing: Double
  ) -> (loss: Double, gradients: [String: [Double]]) {
    var loss = 0.0
    var gradients = parameters.mapValues { [Double](repeating: 0, count: $0.count) }
    let size = input.count / batch
    for example in 0..<batch {
      var activations = [Array(input[example * size..<(example + 1) * size])]
      var shapes = [model.input]
      for layer in model.layers {
        let (output, shape) = forward(layer, activations[activations.count - 1], shapes[shapes.count - 1])
        activations.append(output)
        shapes.append(shape)
      }
      let (value, logitsGradient) = Self.crossEntropy(
        activations[activations.count - 1], label: labels[example], smoothing: smoothing)
      loss += value
      var gradient = logitsGradient
      for (index, layer) in model.layers.enumerated().reversed() {
        gradient = backward(
          layer, input: activations[index], shapes[index], output: activations[index + 1], shapes[index + 1], gradient,
          &gradients)
      }
    }
    return (loss, gradients)
  }

  /// -Σ q log softmax, q = (1-ε) onehot + ε/K, with its gradient softmax - q.
  static func crossEntropy(_ logits: [Double], label: Int, smoothing: Double) -> (Double, [Double]) {
    let maximum = logits.max() ?? 0
    let exponentials = logits.map { exp($0 - maximum) }
    let total = exponentials.reduce(0, +)
    var loss = 0.0
    var gradient: [Double] = []
    for (index, exponential) in exponentials.enumerated() {
      let target = (index == label ? 1 - smoothing : 0) + smoothing / Double(logits.count)
      loss -= target * (logits[index] - maximum - log(total))
      gradient.append(exponential / total - target)
    }
    return (loss, gradient)
  }

  private func forward(_ layer: any Layer, _ input: [Double], _ shape: [Int]) -> ([Double], [Int]) {
    let outputShape = (try? layer.outputShape(input: shape)) ?? []
    let count = outputShape.reduce(1, *)
    switch layer {
    case is ReLU: return (input.map { max($0, 0) }, shape)
    case is Flatten, is Dropout: return (input, outputShape)
    case let dense as Dense:
      let name = dense.name ?? ""
      let weights = parameters["\(name).weight"] ?? []
      var output = parameters["\(name).bias"] ?? [Double](repeating: 0, count: count)
      for row in 0..<count {
        for column in 0..<input.count { output[row] += weights[row * input.count + column] * input[column] }
      }
      return (output, outputShape)
    case let pool as MaxPool:
      var output = [Double](repeating: -.infinity, count: count)
      forEachWindow(shape, outputShape, pool.kernel, pool.stride, pool.padding) { channel, out, source, _, _ in
        let target = channel * outputShape[1] * outputShape[2] + out
        output[target] = max(output[target], input[channel * shape[1] * shape[2] + source])
      }
      return (output, outputShape)
    case let convolution as Convolution:
      let name = convolution.name ?? ""
      let weights = parameters["\(name).weight"] ?? []
      let area = outputShape[1] * outputShape[2]
      var output = [Double](repeating: 0, count: count)
      if let bias = parameters["\(name).bias"] {
        for index in 0..<count { output[index] = bias[index / area] }
      }
      let kernelArea = convolution.kernel * convolution.kernel
      forEachWindow(shape, outputShape, convolution.kernel, convolution.stride, convolution.padding) {
        channel, out, source, y, x in
        let value = input[channel * shape[1] * shape[2] + source]
        for target in 0..<outputShape[0] {
          output[target * area + out] +=
            value * weights[(target * shape[0] + channel) * kernelArea + y * convolution.kernel + x]
        }
      }
      return (output, outputShape)
    default: return ([], [])
    }
  }

  private func backward(
    _ layer: any Layer, input: [Double], _ shape: [Int], output: [Double], _ outputShape: [Int],
    _ gradient: [Double], _ gradients: inout [String: [Double]]
  ) -> [Double] {
    var result = [Double](repeating: 0, count: input.count)
    switch layer {
    case is ReLU: return zip(input, gradient).map { $0 > 0 ? $1 : 0 }
    case is Flatten, is Dropout: return gradient
    case let dense as Dense:
      let name = dense.name ?? ""
      let weights = parameters["\(name).weight"] ?? []
      for row in 0..<gradient.count {
        if dense.hasBias { gradients["\(name).bias"]?[row] += gradient[row] }
        for column in 0..<input.count {
          gradients["\(name).weight"]?[row * input.count + column] += gradient[row] * input[column]
          result[column] += gradient[row] * weights[row * input.count + column]
        }
      }
    case let pool as MaxPool:
      // The first of equals, as everywhere.
      var taken = [Bool](repeating: false, count: output.count)
      forEachWindow(shape, outputShape, pool.kernel, pool.stride, pool.padding) { channel, out, source, _, _ in
        let target = channel * outputShape[1] * outputShape[2] + out
        let index = channel * shape[1] * shape[2] + source
        if !taken[target] && input[index] == output[target] {
          taken[target] = true
          result[index] += gradient[target]
        }
      }
    case let convolution as Convolution:
      let name = convolution.name ?? ""
      let weights = parameters["\(name).weight"] ?? []
      let area = outputShape[1] * outputShape[2]
      let kernelArea = convolution.kernel * convolution.kernel
      var weightsGradient = gradients["\(name).weight"] ?? []
      gradients["\(name).weight"] = nil  // keep one reference, or each write would copy
      if convolution.hasBias {
        for index in 0..<gradient.count { gradients["\(name).bias"]?[index / area] += gradient[index] }
      }
      forEachWindow(shape, outputShape, convolution.kernel, convolution.stride, convolution.padding) {
        channel, out, source, y, x in
        let index = channel * shape[1] * shape[2] + source
        for target in 0..<outputShape[0] {
          let weight = (target * shape[0] + channel) * kernelArea + y * convolution.kernel + x
          weightsGradient[weight] += gradient[target * area + out] * input[index]
          result[index] += gradient[target * area + out] * weights[weight]
        }
      }
      gradients["\(name).weight"] = weightsGradient
    default: break
    }
    return result
  }

  /// Calls `body` for each (input channel, output position, input position, kernel row, kernel column) inside the
  /// image.
  private func forEachWindow(
    _ shape: [Int], _ outputShape: [Int], _ kernel: Int, _ stride: Int, _ padding: Int,
    _ body: (_ channel: Int, _ out: Int, _ source: Int, _ y: Int, _ x: Int) -> Void
  ) {
    for channel in 0..<shape[0] {
      for row in 0..<outputShape[1] {
        for column in 0..<outputShape[2] {
          for y in 0..<kernel {
            let sourceRow = row * stride + y - padding
            if sourceRow < 0 || sourceRow >= shape[1] { continue }
            for x in 0..<kernel {
              let sourceColumn = column * stride + x - padding
              if sourceColumn < 0 || sourceColumn >= shape[2] { continue }
              body(channel, row * outputShape[2] + column, sourceRow * shape[2] + sourceColumn, y, x)
            }
          }
        }
      }
    }
  }
}

/// Where a normalisation keeps what it uses in evaluation, and what new statistics are made of. Outlives a step.
final class CompiledStatistics {
  /// The layer's name.
  let name: String
  let channels: Int
  /// Running mean, then running variance: 2 · channels floats.
  let running: Buffer
  /// Sums of elements and of their squares, then how many elements a channel they are of: 2 · channels + 1 doubles.
  let accumulated: Buffer

  init(name: String, channels: Int, compiler: PlanCompiler) {
    self.name = name
    self.channels = channels
    running = compiler.makeBuffer(byteCount: 2 * channels * MemoryLayout<Float>.stride, isPinned: true)
    accumulated = compiler.makeBuffer(byteCount: (2 * channels + 1) * MemoryLayout<Double>.stride, isPinned: true)
  }

  var runningMean: UnsafeMutablePointer<Float> { running.floats }
  var runningVariance: UnsafeMutablePointer<Float> { running.floats + channels }

  /// Mean 0 and variance 1, as PyTorch starts.
  func reset() {
    runningMean.update(repeating: 0, count: channels)
    runningVariance.update(repeating: 1, count: channels)
    resetAccumulated()
  }

  func resetAccumulated() { accumulated.doubles.update(repeating: 0, count: 2 * channels + 1) }
}

import Foundation
import Report
import Training

/// Prints the runs of a sweep, a line each; on a terminal the line says how far the run is.
final class RunPrinter: TrainingListener {
  private let prefix: String
  private let quiet: Bool
  /// launch/run says where output goes: under mpirun a rank cannot see it.
  private let isTerminal = ProcessInfo.processInfo.environment["FREEWHEEL_TERMINAL"] == "1"
  private let start = ContinuousClock.now

  /// - Parameters:
  ///   - prefix: what the line begins with.
  ///   - quiet: print what a person should know, and nothing else.
  init(prefix: String, quiet: Bool) {
    self.prefix = prefix
    self.quiet = quiet
  }

  /// Shows progress, passes notices on.
  func receive(_ event: TrainingEvent) {
    switch event {
    case .evaluation(let evaluation):
      rewrite("step \(evaluation.step), test loss \(NumberText.short(evaluation.loss))")
    case .notice(let text): line("note: \(text)")
    case .skipped(let skipped): line("note: step \(skipped.step) was skipped: \(skipped.reason)")
    case .summary(let summary) where summary.stopped:
      line("\(prefix): stopped on request after step \(summary.step); start it again with the same flags to go on")
    case .start(let start):
      if let resumed = start.lines.first(where: { $0.hasPrefix("resumed at step") }), !quiet {
        line("\(prefix): \(resumed)")
      }
    case .step, .checkpoint, .summary: break
    }
  }

  /// The line of a run that has ended.
  func finish(_ result: RunResult) {
    guard !quiet else { return }
    let seconds = (ContinuousClock.now - start) / .seconds(1)
    var text = prefix + ": "
    if let divergence = result.divergence {
      text += "diverged by step \(divergence.step) (\(divergence.what))"
    } else if let last = result.evaluations.last {
      let accuracy = NumberText.fixed(100 * last.accuracy, decimals: 2)
      text += "test loss \(NumberText.short(last.testLoss)), accuracy \(accuracy) %"
    }
    line(text + ", \(NumberText.fixed(seconds, decimals: 1)) s")
  }

  private func line(_ text: String) {
    print((isTerminal ? "\r\u{1B}[K" : "") + text)
  }

  private func rewrite(_ text: String) {
    guard isTerminal, !quiet else { return }
    print("\r\u{1B}[K\(prefix): \(text)", terminator: "")
    fflush(nil)
  }
}

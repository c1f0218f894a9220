import Foundation
import Glibc
import Monitoring

/// Prints a run for people: on a terminal a progress line that rewrites itself, otherwise one line per event.
public final class ProgressPrinter: TrainingListener {
  private let quiet: Bool
  private let isTerminal: Bool
  private var lineIsOpen = false

  /// - Parameter quiet: print only notices and the summary.
  public init(quiet: Bool) {
    self.quiet = quiet
    // Under mpirun standard output is a pseudo-terminal even where mpirun's own goes to a file; launch/run says what
    // it is.
    switch ProcessInfo.processInfo.environment["FREEWHEEL_TERMINAL"] {
    case "1"?: isTerminal = true
    case "0"?: isTerminal = false
    default: isTerminal = isatty(1) != 0 && ProcessInfo.processInfo.environment["OMPI_COMM_WORLD_RANK"] == nil
    }
  }

  /// Prints the event.
  public func receive(_ event: TrainingEvent) {
    switch event {
    case .start(let run):
      guard !quiet else { return }
      line(run.title)
      for text in run.lines { line("  " + text) }
    case .step(let step):
      guard !quiet else { return }
      let percent = Int((100 * Double(step.step) / Double(max(step.totalSteps, 1))).rounded(.down))
      let text = String(
        format: "step %d/%d (%d%%)  epoch %.2f  loss %.4f  %.0f images/s  %.2f ms/step (exchange %.2f)", step.step,
        step.totalSteps, percent, step.epoch, step.loss, step.imagesPerSecond, step.stepMilliseconds,
        step.exchangeMilliseconds)
      if isTerminal { rewrite(text) } else { line(text) }
    case .evaluation(let evaluation):
      guard !quiet else { return }
      line(
        String(
          format: "epoch %.2f  step %d  test accuracy %.2f %%  test loss %.4f", evaluation.epoch, evaluation.step,
          100 * evaluation.accuracy, evaluation.loss))
    case .checkpoint(_, _, let path, _):
      guard !quiet else { return }
      line("saved \(path)")
    case .skipped(let skipped):
      line("note: step \(skipped.step) was skipped, \(skipped.total) in all: \(skipped.reason)")
    case .notice(let text):
      line("note: " + text)
    case .summary(let summary):
      let verb = summary.stopped ? "stopped on request" : "done"
      var text = String(
        format: "%@ after step %d (epoch %.2f), %.1f s, %.0f images/s", verb, summary.step, summary.epoch,
        summary.seconds, summary.imagesPerSecond)
      if let accuracy = summary.accuracy { text += String(format: ", test accuracy %.2f %%", 100 * accuracy) }
      line(text)
      if summary.skippedSteps > 0 { line("skipped: \(summary.skippedSteps) steps that met something not finite") }
      if summary.shares.total > 0 { line(Self.shares(summary.shares)) }
      line("run folder: \(summary.folder)")
    }
  }

  /// `a step of 12.3 ms: compute 91.2 %, update 3.1 %, …`
  private static func shares(_ shares: StepShares) -> String {
    let names: [(Phase.Share, String)] = [
      (.compute, "compute"), (.communication, "exposed communication"), (.update, "update"), (.data, "data"),
      (.waiting, "waiting for the slowest rank"), (.other, "other"),
    ]
    let parts = names.map { String(format: "%@ %.1f %%", $1, 100 * shares[$0] / shares.total) }
    return String(format: "a step of %.2f ms: ", shares.total * 1e3) + parts.joined(separator: ", ")
  }

  private func line(_ text: String) {
    Console.write((lineIsOpen ? "\r\u{1B}[K" : "") + text + "\n")
    lineIsOpen = false
  }

  private func rewrite(_ text: String) {
    Console.write("\r\u{1B}[K" + text)
    lineIsOpen = true
  }
}

import DataParallel
import Monitoring

/// Adds up where the time of training steps goes; evaluations and checkpoints are left out.
struct StepClock {
  /// Time of a number of steps.
  struct Interval {
    var steps = 0
    var seconds = 0.0
    var exchangeSeconds = 0.0
    var waitSeconds = 0.0
    /// Where the time went, of this rank.
    var shares = StepShares()

    var stepsPerSecond: Double { seconds > 0 ? Double(steps) / seconds : 0 }
    var stepMilliseconds: Double { perStep(seconds) }
    var exchangeMilliseconds: Double { perStep(exchangeSeconds + waitSeconds) }
    var waitMilliseconds: Double { perStep(waitSeconds) }

    private func perStep(_ seconds: Double) -> Double { steps > 0 ? seconds * 1e3 / Double(steps) : 0 }

    fileprivate mutating func add(_ other: Interval) {
      steps += other.steps
      seconds += other.seconds
      exchangeSeconds += other.exchangeSeconds
      waitSeconds += other.waitSeconds
      shares = shares + other.shares
    }
  }

  /// All steps so far.
  var total: Interval {
    var sum = finished
    sum.add(current)
    return sum
  }
  /// Seconds since the start of the run, earlier sessions included.
  var sinceStart: Double { earlierSeconds + monotonicSeconds() - startTime }

  private var startTime = 0.0
  private var earlierSeconds = 0.0
  private var resumeTime = 0.0
  private var current = Interval()
  private var finished = Interval()
  private var sharesBefore = StepShares()

  /// - Parameter earlierSeconds: what earlier sessions of a resumed run took.
  mutating func start(after earlierSeconds: Double, recorder: ThreadRecorder) {
    sharesBefore = StepShares(recorder)
    self.earlierSeconds = earlierSeconds
    startTime = monotonicSeconds()
    resumeTime = startTime
  }

  /// Stops counting, until ``resume()``.
  mutating func pause() { current.seconds += monotonicSeconds() - resumeTime }

  mutating func resume() { resumeTime = monotonicSeconds() }

  /// Counts a step.
  mutating func count(_ outcome: StepOutcome) {
    current.steps += 1
    current.exchangeSeconds += outcome.exchangeSeconds
    current.waitSeconds += outcome.waitSeconds
  }

  /// Brings the shares of the steps since the last interval up to date.
  mutating func takeShares(_ recorder: ThreadRecorder) {
    recorder.enter(recorder.phase)
    let shares = StepShares(recorder)
    // Time between steps counts with the steps around it; without steps there is nothing to count.
    if current.steps > 0 { current.shares = current.shares + (shares - sharesBefore) }
    sharesBefore = shares
  }

  /// The steps since this was last called. Called while counting.
  ///
  /// - Parameter recorder: of this thread; the shares come from it.
  mutating func takeInterval(_ recorder: ThreadRecorder) -> Interval {
    pause()
    resume()
    takeShares(recorder)
    let interval = current
    finished.add(interval)
    current = Interval()
    return interval
  }
}

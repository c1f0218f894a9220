import DataParallel

/// What `run.json` holds: everything needed to repeat a run.
struct RunDescription: Codable {
  /// One start of the program: the first, and one for each resume.
  struct Session: Codable {
    /// The command line, program first.
    var arguments: [String]
    /// Steps done when it began.
    var firstStep: Int
    /// Steps the run was to take.
    var totalSteps: Int
    /// One host name per rank.
    var hosts: [String]
    /// When it was started, UTC, ISO 8601.
    var started: String
    /// Settings that decide what is computed.
    var settings: RunSettings
    /// How gradients are cut and exchanged; nil in runs of versions that had no choice.
    var exchange: ExchangeTuning?
    /// Versions of what it ran on.
    var versions: [String: String]
    /// The job that started it, if it has a name (see ``JobName``).
    var job: String?
    /// Why the job was started again, in words, if it was.
    var restart: String?
  }

  /// In the order of their start.
  var sessions: [Session]
}

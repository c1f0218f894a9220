import Foundation
import Training

/// What `freewheel doctor` found.
struct Diagnosis: Encodable {
  /// Something that a person should know, or change.
  struct Finding: Encodable, Equatable {
    enum Severity: String, Encodable {
      /// Training fails or is refused.
      case problem
      /// Training works, and could be faster or safer.
      case advice
    }
    let severity: Severity
    /// The host; nil for what concerns the job.
    let host: String?
    /// What is so, and what to do.
    let text: String
  }

  let hosts: [[HostFacts]]
  let clockSkewSeconds: [Double]
  let findings: [Finding]
  private let launchedWith: String

  private enum CodingKeys: String, CodingKey { case hosts, clockSkewSeconds, findings }

  var isHealthy: Bool { !findings.contains { $0.severity == .problem } }

  init(facts: [HostFacts], clockSkews: [Double], singleCopy: SingleCopy?, launchedWith: String) {
    hosts = Dictionary(grouping: facts, by: \.node).sorted { $0.key < $1.key }.map(\.value)
    clockSkewSeconds = clockSkews
    self.launchedWith = launchedWith
    var findings: [Finding] = []
    for difference in StartupChecks.differences(of: facts) {
      findings.append(
        Finding(severity: .problem, host: nil, text: difference + "; --mixed-hosts allow runs all the same"))
    }
    findings += StartupChecks.notes(on: facts).map { Finding(severity: .advice, host: nil, text: $0) }
    if let singleCopy { findings.append(Finding(severity: .advice, host: singleCopy.host, text: singleCopy.note)) }
    for ranks in hosts { findings += Self.findings(on: ranks, nodeCount: hosts.count) }
    for (rank, skew) in zip(facts, clockSkews) where abs(skew) > 1 && rank.rank == hosts[rank.node].first?.rank {
      findings.append(
        Finding(
          severity: .advice, host: rank.host,
          text: String(
            format: "its clock is %.1f s %@ that of %@: times in logs and of files do not fit together; use NTP",
            abs(skew), skew > 0 ? "ahead of" : "behind", facts[0].host)))
    }
    self.findings = findings
  }

  /// Of one node.
  private static func findings(on ranks: [HostFacts], nodeCount: Int) -> [Finding] {
    guard let host = ranks.first else { return [] }
    var found: [Finding] = []
    func add(_ severity: Finding.Severity, _ text: String) {
      found.append(Finding(severity: severity, host: host.host, text: text))
    }
    let mebibyte = 1 << 20
    if host.sharedBytes == 0 {
      add(
        ranks.count > 1 ? .problem : .advice,
        "\(host.sharedFolder), where MPI puts shared memory, cannot be used: mount a tmpfs there")
    } else if host.freeSharedBytes < 256 * mebibyte && ranks.count > 1 {
      add(
        .advice,
        "\(host.sharedFolder) has \(host.freeSharedBytes / mebibyte) MiB free, enough for some "
          + "\(max(0, host.freeSharedBytes - 4 * mebibyte * ranks.count) / 4 / (ranks.count + 1) / 1_000_000) million "
          + "parameters with \(ranks.count) ranks: enlarge it (in a container, --shm-size), or the flat exchange is taken"
      )
    }
    if host.freeMemory < 512 * mebibyte {
      add(.problem, "\(host.freeMemory / mebibyte) MiB of memory are free: too little to train anything")
    }
    if nodeCount > 1 && host.threadLevel != "multiple" {
      add(
        .advice,
        "MPI grants thread level '\(host.threadLevel)' only: without 'multiple' there is no communication thread, and "
          + "hosts exchange after the backward pass, not during it")
    }
    if nodeCount > 1 && host.interfaces.isEmpty {
      add(.problem, "no network but the loopback is up: other hosts cannot be reached")
    }
    if nodeCount > 1 && host.interfaces.count > 1 {
      add(
        .advice,
        "several networks (\(host.interfaces.map { "\($0.name) \($0.address)" }.joined(separator: ", "))): name the one to "
          + "use, --mca btl_tcp_if_include and --mca oob_tcp_if_include with its address and prefix length")
    }
    if host.hugePages == "never" {
      add(
        .advice,
        "transparent huge pages are off: large arrays are slower; echo madvise > "
          + "/sys/kernel/mm/transparent_hugepage/enabled")
    }
    if let files = host.openFiles, files < 1024 {
      add(.advice, "a process may open \(files) files only (ulimit -n): large jobs need a socket for each rank")
    }
    if host.executable.isEmpty { add(.advice, "/proc is not mounted: builds of hosts cannot be compared") }
    if host.instructionSet.hasPrefix("AVX2") || ["AVX", "SSE41", "none"].contains(host.instructionSet) {
      add(
        .advice,
        "oneDNN computes with \(host.instructionSet): without AVX-512 there is no bfloat16, and float32 is slower")
    }
    return found
  }

  /// For people: a page for each host, then what to do.
  var text: String {
    var lines = [
      "\(hosts.count) \(hosts.count == 1 ? "host" : "hosts"), \(hosts.map(\.count).reduce(0, +)) ranks, started with "
        + launchedWith
    ]
    for ranks in hosts { lines += page(ranks) }
    lines.append("")
    if findings.isEmpty { lines.append("nothing to complain of") }
    for finding in findings {
      lines.append("\(finding.severity.rawValue): " + (finding.host.map { "\($0): " } ?? "") + finding.text)
    }
    return lines.joined(separator: "\n")
  }

  private func page(_ ranks: [HostFacts]) -> [String] {
    guard let host = ranks.first else { return [] }
    func gibibytes(_ bytes: Int) -> String { String(format: "%.1f GiB", Double(bytes) / 1_073_741_824) }
    func list(_ numbers: [Int]) -> String { numbers.map(String.init).joined(separator: ",") }
    let sharedCores = Set(ranks.map(\.cores)).count == 1
    let rows: [(String, String)] = [
      ("ranks", list(ranks.map(\.rank))),
      ("MPI", "\(host.mpi.prefix { $0 != "," }), threads: \(host.threadLevel)"),
      ("oneDNN", "\(host.oneDNN), instruction set \(host.instructionSet)"),
      ("processor", host.processor),
      (
        "cores",
        (sharedCores
          ? "\(list(host.cores)), for all ranks"
          : ranks.map { "rank \($0.rank): \(list($0.cores))" }.joined(separator: "; "))
          + (host.quota.map { String(format: "; quota %g", $0) } ?? "")
      ),
      ("threads a rank", list(Array(Set(ranks.map(\.threads))).sorted())),
      ("memory", "\(gibibytes(host.memory)), \(gibibytes(host.freeMemory)) free"),
      (
        "shared memory", "\(host.sharedFolder), \(gibibytes(host.sharedBytes)), \(gibibytes(host.freeSharedBytes)) free"
      ),
      ("huge pages", host.hugePages.isEmpty ? "unknown" : host.hugePages),
      ("ptrace_scope", host.ptraceScope.map(String.init) ?? "none"),
      (
        "limits",
        "open files \(limit(host.openFiles)), stack \(limit(host.stackBytes)), locked memory \(limit(host.lockedBytes))"
      ),
      (
        "networks",
        host.interfaces.isEmpty
          ? "none"
          : host.interfaces.map { "\($0.name) \($0.address)" + ($0.megabits.map { " (\($0) Mbit/s)" } ?? "") }
            .joined(separator: ", ")
      ),
      ("clock", String(format: "%+.3f s against rank 0", clockSkewSeconds[host.rank])),
      ("kernel", host.kernel),
      ("executable", host.executable),
    ]
    return ["", host.host]
      + rows.map { "  " + $0.0.padding(toLength: 16, withPad: " ", startingAt: 0) + $0.1 }
  }

  private func limit(_ value: Int?) -> String { value.map(String.init) ?? "unlimited" }
}

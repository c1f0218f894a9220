import Foundation
import TestSupport
import Testing

@testable import Training
@testable import freewheel

@Suite("What is looked at of hosts")
struct HostTests {
  /// Two ranks on each of two hosts with four cores, all alike.
  private func facts(_ change: (inout [HostFacts]) -> Void = { _ in }) -> [HostFacts] {
    var facts = (0..<4).map { rank in
      var facts = HostFacts(rank: rank, node: rank / 2)
      facts.host = "node\(rank / 2)"
      facts.cores = [0, 1, 2, 3]
      facts.quota = nil
      facts.threads = 1
      facts.instructionSet = "AVX512_CORE"
      facts.hugePages = "madvise"
      facts.threadLevel = "multiple"
      facts.openFiles = 4096
      (facts.memory, facts.freeMemory) = (8 << 30, 4 << 30)
      (facts.sharedBytes, facts.freeSharedBytes) = (4 << 30, 4 << 30)
      facts.interfaces = [HostFacts.Interface(name: "eth0", address: "10.0.0.\(rank / 2)", megabits: 1000)]
      return facts
    }
    change(&facts)
    return facts
  }

  private func diagnosis(_ facts: [HostFacts], skews: [Double] = [0, 0, 0, 0]) -> Diagnosis {
    Diagnosis(facts: facts, clockSkews: skews, singleCopy: nil, launchedWith: "a test")
  }

  @Test("Hosts that are alike and not crowded: nothing to say")
  func healthy() {
    #expect(HostDifference.find(in: facts()).isEmpty)
    #expect(StartupChecks.notes(on: facts()).isEmpty)
    #expect(diagnosis(facts()).findings.isEmpty && diagnosis(facts()).isHealthy)
    #expect(HostFacts.coresPerRank(of: facts()) == 2)
  }

  @Test(
    "Other builds, libraries and instruction sets are named with rank, host and what to do",
    arguments: [
      ("executable", "another executable than rank 0 on node0"), ("mpi", "install the same MPI"),
      ("oneDNN", "oneDNN 3.1"), ("instructionSet", "DNNL_MAX_CPU_ISA"),
    ])
  func differences(what: String, words: String) {
    let mixed = facts {
      switch what {
      case "executable": $0[3].executable = "beef"
      case "mpi": $0[3].mpi = "Open MPI v5.0.0"
      case "oneDNN": $0[3].oneDNN = "3.1"
      default: $0[3].instructionSet = "AVX2"
      }
    }
    let found = HostDifference.find(in: mixed).map(\.description)
    #expect(found.count == 1 && found[0].contains("rank 3 on node1") && found[0].contains(words), "\(found)")
    #expect(!diagnosis(mixed).isHealthy)
  }

  @Test("More compute threads than cores, a quota, ranks on one core, hosts of one name")
  func notes() {
    let crowded = facts { for rank in 2..<4 { $0[rank].cores = [0] } }
    #expect(
      StartupChecks.notes(on: crowded).contains { $0.contains("2 ranks on node1 compute with 2 threads on 1 core") })
    let threads = facts { $0[0].threads = 4 }
    #expect(StartupChecks.notes(on: threads).contains { $0.contains("2 ranks on node0 compute with 5 threads on 4") })
    let quota = facts { for rank in 0..<2 { $0[rank].quota = 0.5 } }
    #expect(StartupChecks.notes(on: quota).contains { $0.contains("on 0.5 cores") })
    #expect(HostFacts.coresPerRank(of: quota) == 0.25)
    var bound = facts { for rank in 0..<2 { $0[rank].cores = [1] } }
    bound.append(bound[1])
    bound[4].cores = [2, 3]
    #expect(StartupChecks.notes(on: bound).contains { $0.contains("node0 are bound to core 1 together") })
    let names = facts { for rank in 0..<4 { $0[rank].host = "localhost" } }
    #expect(StartupChecks.notes(on: names).contains { $0.contains("2 hosts are named localhost") })
  }

  @Test("What the doctor finds of a host, and which of it is a problem")
  func findings() {
    func texts(_ facts: [HostFacts], skews: [Double] = [0, 0, 0, 0]) -> [String] {
      diagnosis(facts, skews: skews).findings.map { "\($0.severity.rawValue) \($0.host ?? "job"): \($0.text)" }
    }
    func expect(_ words: [String], _ change: (inout [HostFacts]) -> Void) {
      let found = texts(facts(change))
      #expect(found.filter { text in words.allSatisfy { text.contains($0) } }.count == 1, "\(words) in \(found)")
    }
    expect(["problem node1", "shared memory", "tmpfs"]) { for rank in 2..<4 { $0[rank].sharedBytes = 0 } }
    expect(["advice node1", "64 MiB free", "--shm-size"]) {
      for rank in 2..<4 { $0[rank].freeSharedBytes = 64 << 20 }
    }
    expect(["problem node0", "100 MiB of memory"]) { $0[0].freeMemory = 100 << 20 }
    expect(["advice node0", "'funneled'"]) { $0[0].threadLevel = "funneled" }
    expect(["problem node0", "no network"]) { $0[0].interfaces = [] }
    expect(["advice node0", "several networks", "btl_tcp_if_include"]) {
      $0[0].interfaces.append(HostFacts.Interface(name: "ib0", address: "10.1.0.1", megabits: nil))
    }
    expect(["advice node0", "huge pages are off"]) { $0[0].hugePages = "never" }
    expect(["advice node0", "256 files"]) { $0[0].openFiles = 256 }
    let skewed = texts(facts(), skews: [0, 0, 3.5, 3.5])
    #expect(skewed.count == 1 && skewed[0].contains("node1") && skewed[0].contains("3.5 s ahead"), "\(skewed)")
  }

  @Test("Lists of cores as the system writes them")
  func cores() {
    #expect(HostProbe.coreNumbers("0-3,8") == [0, 1, 2, 3, 8])
    #expect(HostProbe.coreNumbers("5") == [5])
    #expect(HostProbe.coreNumbers("") == [])
    #expect(HostProbe.coreNumbers("3-1,x") == [])
  }

  @Test("freewheel doctor, alone and under mpirun, as text and as JSON", arguments: [0, 2])
  func doctor(ranks: Int) async throws {
    let folder = try TemporaryFolder()
    let arguments = ["doctor", "--json", folder["doctor.json"]]
    let result =
      ranks == 0
      ? try await MPIRunner.runAlone("freewheel", arguments)
      : try await MPIRunner.run("freewheel", arguments, ranks: ranks)
    struct Report: Decodable {
      struct Finding: Decodable { var severity, text: String }
      var hosts: [[HostFacts]]
      var findings: [Finding]
    }
    let report = try JSONDecoder().decode(
      Report.self, from: Data(contentsOf: URL(fileURLWithPath: folder["doctor.json"])))
    #expect((result.exitCode == 0) == !report.findings.contains { $0.severity == "problem" }, "\(result)")
    #expect(report.hosts.count == 1 && report.hosts[0].map(\.rank) == Array(0..<max(1, ranks)))
    let host = try #require(report.hosts.first?.first)
    #expect(!host.executable.isEmpty && host.mpi.contains("Open MPI") && host.memory > 0 && !host.cores.isEmpty)
    for words in [host.host, host.oneDNN, host.instructionSet, "shared memory", "cores", "clock", "networks"] {
      #expect(result.standardOutput.contains(words), "\(words): \(result)")
    }
    for finding in report.findings { #expect(result.standardOutput.contains(finding.text), "\(result)") }
  }

  @Test("A report that cannot be written is refused")
  func badReport() async throws {
    let result = try await MPIRunner.runAlone("freewheel", ["doctor", "--json", "/nowhere/doctor.json"])
    #expect(
      result.exitCode == 1 && result.standardError.contains("/nowhere/doctor.json cannot be written"), "\(result)")
    #expect(result.standardOutput.isEmpty)
  }

  @Test("Ranks of other builds are refused at the start; with --mixed-hosts allow they train")
  func otherBuilds() async throws {
    let run = try MNISTRun()
    // The same program with a byte more: another build, as far as bytes tell.
    let original = try MPIRunner.locate("mnist")
    let copy = run.folder["mnist"]
    try FileManager.default.copyItem(atPath: original, toPath: copy)
    let handle = try #require(FileHandle(forWritingAtPath: copy))
    try handle.seekToEnd()
    try handle.write(contentsOf: Data([0]))
    try handle.close()
    func start(_ choice: String) async throws -> JobResult {
      let flags = run.flags + ["--steps", "2", "--evaluate-every", "0", "--mixed-hosts", choice]
      return try await MPIRunner.run(
        "mnist", flags + [":", "-n", "1", copy] + flags, ranks: 1, directory: run.folder.path, timeLimit: .seconds(60))
    }
    let refused = try await start("refuse")
    #expect(refused.exitCode == 65 && !refused.timedOut, "\(refused)")
    let lines = refused.standardError.split(separator: "\n").filter { $0.contains("runs another executable") }
    #expect(
      lines.count == 1 && lines[0].contains("rank 1 on ") && lines[0].contains("--mixed-hosts allow"), "\(refused)")
    #expect(((try? run.runFolders()) ?? []).isEmpty)
    let allowed = try await start("allow")
    #expect(allowed.exitCode == 0 && allowed.standardOutput.contains("note: rank 1 on "), "\(allowed)")
  }

  @Test("Where an instruction set is held back on one rank, the ranks do not train together")
  func instructionSets() async throws {
    let run = try MNISTRun()
    let program = try MPIRunner.locate("mnist")
    let flags = run.flags + ["--steps", "2"]
    let result = try await MPIRunner.run(
      "mnist", flags + [":", "-n", "1", "-x", "DNNL_MAX_CPU_ISA=SSE41", program] + flags, ranks: 1,
      directory: run.folder.path, timeLimit: .seconds(60))
    #expect(result.exitCode == 65 && result.standardError.contains("instruction set SSE41"), "\(result)")
  }
}

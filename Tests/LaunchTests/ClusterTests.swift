import Foundation
import TestSupport
import Testing

/// The test cluster itself: what its hosts share and do not share, and that nothing of it stays.
@Suite(.enabled(if: Cluster.isAvailable, Cluster.skipped)) struct ClusterTests {
  @Test func hostsHaveNamesNetworksAndMemoryOfTheirOwn() async throws {
    let result = try await Cluster.shell(
      "2,1",
      """
      $cluster exec node1 sh -c 'touch /dev/shm/mine "$TMPDIR/mine"'
      $cluster exec node2 sh -c 'hostname; ls /dev/shm "$TMPDIR" | grep -c mine || true'
      $cluster exec node1 sh -c '$FREEWHEEL_SSH node2 hostname'
      $cluster run -- sh -c 'echo "rank $OMPI_COMM_WORLD_RANK on $(hostname)"'
      """)
    #expect(result.exitCode == 0, "\(result)")
    let lines = result.standardOutput.split(separator: "\n").map(String.init)
    #expect(lines.prefix(3) == ["node2", "0", "node2"], "\(result)")
    #expect(
      lines.dropFirst(3).sorted() == ["rank 0 on node1", "rank 1 on node1", "rank 2 on node2"], "\(result)")
  }

  @Test(.enabled(if: ProcessInfo.processInfo.activeProcessorCount >= 2, "two hosts with a core each take two cores"))
  func ranksRunOnTheCoresOfTheirHosts() async throws {
    let result = try await Cluster.shell(
      "2x1", options: ["--pin"], "$cluster run -- sh -c 'taskset -cp $$ | sed \"s/.*: /cores /\"'")
    #expect(result.exitCode == 0, "\(result)")
    let cores = result.standardOutput.split(separator: "\n").filter { $0.hasPrefix("cores ") }
    #expect(cores.count == 2 && Set(cores).count == 2, "\(result)")
  }

  @Test func devShmHasTheSizeAskedFor() async throws {
    let result = try await Cluster.shell(
      "2x1", options: ["--shm", "8m"], "$cluster exec node2 df -k --output=size /dev/shm | tail -n 1")
    #expect(result.standardOutput.split(separator: "\n").map { $0.filter(\.isNumber) } == ["8192"], "\(result)")
  }

  @Test func aHostThatIsCutOffOrSwitchedOffDoesNotAnswer() async throws {
    let name = Cluster.newName()
    let result = try await Cluster.shell(
      "3x1", name: name,
      """
      answer() { code=0; $cluster exec node1 sh -c '$FREEWHEEL_SSH '$1' true' || code=$?; echo "$1 $code"; }
      answer node2
      $cluster cut node2; answer node2; answer node3
      $cluster mend node2; answer node2
      $cluster kill node3; answer node3
      $cluster cut node2; $cluster status
      """)
    #expect(result.exitCode == 0, "\(result)")
    let lines = result.standardOutput.split(separator: "\n").map(String.init)
    #expect(lines.prefix(5) == ["node2 0", "node2 255", "node3 0", "node2 0", "node3 255"], "\(result)")
    #expect(lines.dropFirst(5).map { $0.hasSuffix("connected") } == [true, false, false], "\(result)")
    #expect(result.standardError.contains("connect to host node2: connection timed out"), "\(result)")
    #expect(result.standardError.contains("connect to host node3: no route to host"), "\(result)")
  }

  @Test(arguments: [SIGTERM, SIGINT, SIGKILL])
  func nothingIsLeftWhenItIsInterrupted(_ signal: Int32) async throws {
    let name = Cluster.newName()
    let job = try await Cluster.with(
      "2x1", name: name,
      ["bash", Cluster.script, "exec", "node1", "sh", "-c", "setsid sleep 1000 & echo started; sleep 1000"])
    #expect(await job.waitForOutput("started"))
    #expect(Cluster.processes(of: name).count > 2)
    job.send(signal: signal)
    let result = await job.result()
    #expect(result.exitCode == 128 + signal, "\(result)")
    let deadline = ContinuousClock.now + .seconds(5)
    while !Cluster.processes(of: name).isEmpty && ContinuousClock.now < deadline {
      try await Task.sleep(for: .milliseconds(20))
    }
    #expect(Cluster.processes(of: name).isEmpty)
    let state = Cluster.stateFolder(of: name)
    if signal == SIGKILL {
      // Nobody was left to remove the folder; `down` tidies up, as does the next `up`.
      #expect(try Cluster.run(["down"], name: name).code == 0)
    }
    #expect(!FileManager.default.fileExists(atPath: state))
  }

  @Test func aNameIsTakenOnce() async throws {
    let name = Cluster.newName()
    let result = try await Cluster.shell(
      "1x1", name: name, "code=0; $cluster up 2x1 || code=$?; echo $code; $cluster status | wc -l")
    #expect(result.standardOutput == "1\n1\n", "\(result)")
    #expect(result.standardError.contains("a cluster named \(name) is up already"), "\(result)")
  }

  @Test func theCodeOfTheCommandIsTheCodeOfAll() async throws {
    let result = try await Cluster.shell("1x1", "$cluster exec node1 sh -c 'exit 75'")
    #expect(result.exitCode == 75, "\(result)")
  }
}

/// What the script refuses, which takes no rights.
@Suite struct ClusterUsageTests {
  @Test(arguments: [
    ([], "give a command"),
    (["bogus"], "unknown command bogus"),
    (["up"], "give a shape"),
    (["up", "2x"], "shape 2x: expected HOSTSxSLOTS"),
    (["up", "0x2"], "shape 0x2: expected"),
    (["up", "1,,2"], "shape 1,,2: expected"),
    (["up", "2x2", "3x1"], "two shapes given, 2x2 and 3x1"),
    (["up", "2x2", "--rate", "fast"], "--rate fast: expected a rate"),
    (["up", "2x2", "--shm", "1"], "--shm 1: expected a size"),
    (["up", "2x2", "--bogus"], "unknown option --bogus"),
    (["up", "--name", "a b", "2x2"], "--name a b: expected letters"),
    (["up", "2x2", "--rate"], "--rate needs a value"),
    (["up", "99x100", "--pin"], "--pin: 9900 slots, but this machine has"),
    (["with", "2x2"], "with: give the command behind --"),
  ])
  func wrongUsage(_ arguments: [String], message: String) throws {
    let outcome = try Cluster.run(arguments, name: Cluster.newName())
    // What a cluster needs may be lacking, which is told before the cores are counted.
    if outcome.code == 77 && arguments.contains("--pin") { return }
    #expect(outcome.code == 64, "\(outcome)")
    #expect(outcome.errors.contains(message), "\(outcome)")
  }

  @Test(arguments: [["run", "--", "true"], ["exec", "node1", "true"], ["cut", "node1"], ["status"]])
  func commandsNeedACluster(_ arguments: [String]) throws {
    let outcome = try Cluster.run(arguments, name: "there-is-none")
    #expect(outcome.code == 1)
    #expect(outcome.errors.contains("there is no cluster named there-is-none; cluster up makes one"), "\(outcome)")
  }

  @Test func helpExplains() throws {
    for script in ["cluster", "kill-test"] {
      let path = packageRoot.appendingPathComponent("Tests/Cluster/\(script)").path
      let outcome = try Cluster.run(["--help"], script: path)
      #expect(outcome.code == 0)
      #expect(outcome.output.contains("Tests/Cluster/\(script) ") && outcome.output.contains("Exit codes:"))
      #expect(!outcome.output.contains("set -euo"))
    }
  }
}

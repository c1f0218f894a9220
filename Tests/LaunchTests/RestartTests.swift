import Foundation
import Testing

/// `launch/run --restarts`: when a job is started again, and what happens between two starts. The programs are shell
/// scripts under a real mpirun.
@Suite(.serialized, .enabled(if: isInstalled("mpirun"), "mpirun is not installed"))
struct RestartTests {
  let package: ScriptPackage
  init() throws { package = try ScriptPackage() }

  /// Makes the program one that counts its starts, and does `body` with `$start`, counted from 0.
  func setProgram(_ body: String) throws {
    try package.setProgram(
      """
      start=$(cat starts 2>/dev/null || echo 0)
      echo $((start + 1)) >starts
      \(body)
      """)
  }

  func starts() throws -> String {
    try String(contentsOf: package.root.appendingPathComponent("starts"), encoding: .utf8)
      .trimmingCharacters(in: .newlines)
  }

  func restart(_ arguments: [String], _ environment: [String: String] = [:]) throws -> Outcome {
    try package.run(
      ["mnist", "--no-build", "-n", "1", "--restart-delay", "0"] + arguments,
      environment: environment.merging(["FREEWHEEL_CORES": "1"]) { $1 })
  }

  @Test func aJobThatFailsStartsAgainAndTheLogTellsWhy() throws {
    try setProgram(#"[ "$start" = 2 ] || exit $((7 + start))"#)
    let outcome = try restart(["--restarts", "5"])
    #expect(outcome.code == 0, "\(outcome.errors)")
    #expect(try starts() == "3")
    let lines = outcome.errors.split(separator: "\n").filter { $0.hasPrefix("run: restart ") }
    try #require(lines.count == 2)
    let time = #/run: restart 1 of 5 at \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ, \d+ s after the start: exit code 7/#
    #expect(lines[0].wholeMatch(of: time) != nil, "\(lines)")
    #expect(lines[1].hasSuffix("exit code 8"), "\(lines)")
  }

  @Test func aKilledRankIsToldBySignal() throws {
    try setProgram(#"[ "$start" = 1 ] || kill -KILL $$"#)
    let outcome = try restart(["--restarts", "1"])
    #expect(outcome.code == 0, "\(outcome.errors)")
    #expect(outcome.errors.contains("a rank or mpirun was ended by SIGKILL (exit code 137)"))
  }

  @Test(arguments: [(0, "1"), (64, "1"), (65, "1"), (1, "3"), (75, "3")])
  func whichCodesAreStartedAgain(_ code: Int32, starts count: String) throws {
    try setProgram("exit \(code)")
    let outcome = try restart(["--restarts", "2"])
    #expect(outcome.code == code, "\(outcome.errors)")
    #expect(try starts() == count)
    #expect(outcome.errors.contains("no restarts left") == (count == "3"))
  }

  @Test func allStartsOfAJobKnowItsName() throws {
    try setProgram(#"echo "$FREEWHEEL_JOB|${FREEWHEEL_RESTART:-}|$FREEWHEEL_START"; exit $((1 - start))"#)
    let named = try restart(["--restarts", "1"], ["FREEWHEEL_JOB": "slurm-17"])
    var lines = named.output.split(whereSeparator: \.isNewline)
    try #require(lines.count == 2, "\(named)")
    #expect(lines[0] == "slurm-17||slurm-17.0")
    #expect(lines[1].hasPrefix("slurm-17|restart 1 of 1 at ") && lines[1].hasSuffix("exit code 1|slurm-17.1"))

    try FileManager.default.removeItem(at: package.root.appendingPathComponent("starts"))
    let unnamed = try restart(["--restarts", "1"])
    lines = unnamed.output.split(whereSeparator: \.isNewline)
    let names = lines.map { $0.prefix { $0 != "|" } }
    try #require(names.count == 2, "\(unnamed)")
    #expect(names[0] == names[1] && !names[0].isEmpty)
    #expect(unnamed.errors.contains("run: job \(names[0]), up to 1 restarts"))
  }

  @Test func withoutRestartsAJobHasNoName() throws {
    try setProgram(#"echo "${FREEWHEEL_JOB:-none}"; exit 3"#)
    let outcome = try package.run(["mnist", "--no-build", "-n", "1", "--restarts", "0"])
    #expect(outcome.code == 3 && outcome.output.contains("none"), "\(outcome)")
    #expect(try starts() == "1")
  }

  @Test func whatADeadJobLeftIsEndedFirst() throws {
    // A process that left mpirun's hands, and heeds nothing but SIGKILL; and files as Open MPI leaves them.
    try setProgram(
      """
      if [ "$start" = 0 ]; then
        setsid bash -c 'trap "" TERM HUP INT; echo $$ >orphan; while :; do sleep 1; done' >/dev/null 2>&1 </dev/null &
        until [ -s orphan ]; do sleep 0.05; done
        family=$(printf %x $(($OMPI_MCA_ess_base_jobid >> 16)))
        touch "/dev/shm/vader_segment.test.$(id -u).${family}0001.0"
        echo "/dev/shm/vader_segment.test.$(id -u).${family}0001.0" >file
        exit 1
      fi
      read -r state _ <<<"$(sed 's/.*) //' "/proc/$(cat orphan)/stat" 2>/dev/null)"
      case "${state:-X}" in X | Z) ;; *) echo "the orphan is in state $state"; exit 64 ;; esac
      if [ -e "$(cat file)" ]; then echo "the file is there"; exit 64; fi
      """)
    let outcome = try restart(["--restarts", "1"])
    #expect(outcome.code == 0, "\(outcome)")
    #expect(try starts() == "2")
  }

  /// Starts a job with restarts, and waits until `text` appears in its errors or output.
  func start(_ arguments: [String], until text: String) throws -> (process: Process, seen: String, errors: Pipe) {
    let started = try package.start(
      "launch/run", ["mnist", "--no-build", "-n", "1"] + arguments, environment: ["FREEWHEEL_CORES": "1"])
    var seen = ""
    while !seen.contains(text) {
      let data = started.errors.fileHandleForReading.availableData
      if data.isEmpty { break }
      seen += String(decoding: data, as: UTF8.self)
    }
    return (started.process, seen, started.errors)
  }

  @Test(arguments: [SIGTERM, SIGINT])
  func aStoppedJobIsNotStartedAgain(_ signal: Int32) throws {
    try setProgram(
      "trap 'echo saved; exit 75' USR1; echo ready >&2; for ((i = 0; i < 600; i++)); do sleep 0.05; done; exit 3")
    let job = try start(["--restarts", "3", "--restart-delay", "0"], until: "ready")
    kill(job.process.processIdentifier, signal)
    job.process.waitUntilExit()
    #expect(job.process.terminationStatus == 75)
    #expect(try starts() == "1")
  }

  @Test func aStopBetweenTwoStartsEndsTheWait() throws {
    try setProgram("echo failing >&2; exit 1")
    let job = try start(["--restarts", "3", "--restart-delay", "600"], until: "exit code 1; starting again in 600 s")
    kill(job.process.processIdentifier, SIGTERM)
    let begin = ContinuousClock.now
    job.process.waitUntilExit()
    #expect(ContinuousClock.now - begin < .seconds(60))
    #expect(job.process.terminationStatus == 75)
    #expect(try starts() == "1")
  }

  @Test(arguments: [
    (["--restarts", "-1"], "--restarts -1: expected a number of restarts"),
    (["--restarts", "many"], "--restarts many: expected"),
    (["--restarts", "2", "--restart-delay", "soon"], "--restart-delay soon: expected a number of seconds"),
    (["--restart-delay", "3"], "--restart-delay and --fewer-hosts are about restarts"),
    (["--fewer-hosts", "--hosts", "a:1,b:1"], "--restart-delay and --fewer-hosts are about restarts"),
    (["--restarts", "2", "--fewer-hosts"], "--fewer-hosts: the job has no hosts to spare"),
    (["--restarts", "2", "--fewer-hosts", "--hosts", "a:1"], "--fewer-hosts: the job has no hosts to spare"),
    (["--restarts", "2", "--fewer-hosts", "--hosts", "a:1,b:1"], "--fewer-hosts needs --lanes N"),
    (["--restarts", "2", "--fewer-hosts", "--hosts", "a:1,b:1", "--", "--lanes", "x"], "needs --lanes N"),
  ])
  func wrongOptions(_ arguments: [String], message: String) throws {
    let outcome = try package.run(["mnist", "--dry-run"] + arguments)
    #expect(outcome.code == 64)
    #expect(outcome.errors.contains(message), "\(outcome.errors)")
    #expect(outcome.errors.split(separator: "\n").count == 1)
  }

  @Test func wrongNameOfAJob() throws {
    let outcome = try package.run(["mnist", "--dry-run"], environment: ["FREEWHEEL_JOB": "a b"])
    #expect(outcome.code == 64 && outcome.errors.contains("FREEWHEEL_JOB=a b: expected letters"), "\(outcome)")
  }
}

/// The functions of `launch/restarts.bash`, with the variables that `launch/run` sets.
@Suite struct RestartFunctionTests {
  let package: ScriptPackage
  init() throws { package = try ScriptPackage() }

  /// What a line of bash prints after the functions were read.
  func bash(_ line: String, _ environment: [String: String] = [:]) throws -> [String] {
    try package.write(
      """
      #!/usr/bin/env bash
      set -euo pipefail
      hosts='' hostfile='' several_hosts='' flags=() job_host_list=''
      say() { echo "$*" >&2; }
      . launch/restarts.bash
      \(line)
      """, to: "functions")
    let outcome = try package.run([], script: "functions", environment: environment)
    #expect(outcome.code == 0, "\(outcome)")
    return outcome.output.split(separator: "\n").map(String.init)
  }

  @Test func hostsOfAList() throws {
    #expect(try bash("hosts=a:2,b.c.d:16,e; job_hosts") == ["a 2", "b.c.d 16", "e 1"])
  }

  @Test func hostsOfAHostfile() throws {
    try package.write(
      "# hosts\nnode1 slots=2 # the first\n\n  node2   max_slots=8 slots=4\nnode3\nnode1 slots=1\n", to: "my hosts")
    #expect(try bash("hostfile='my hosts'; job_hosts") == ["node1 3", "node2 4", "node3 0"])
  }

  @Test func hostsOfAnAllocationOfSlurm() throws {
    try package.write(
      "#!/bin/bash\n[ \"$*\" = 'show hostnames n[1-3]' ] && printf '%s\\n' n1 n2 n3\n", to: "bin/scontrol")
    let path = "\(package.root.path)/bin:\(ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin")"
    let lines = try bash(
      "several_hosts=1; job_hosts",
      [
        "PATH": path, "SLURM_JOB_NUM_NODES": "3", "SLURM_JOB_NODELIST": "n[1-3]", "SLURM_TASKS_PER_NODE": "16(x2),8",
      ])
    #expect(lines == ["n1 16", "n2 16", "n3 8"])
  }

  @Test func hostsOfAnAllocationOfPBS() throws {
    try package.write("n2\nn1\nn2\n", to: "nodes")
    #expect(try bash("several_hosts=1; job_hosts", ["PBS_NODEFILE": "nodes"]) == ["n2 2", "n1 1"])
  }

  @Test func oneMachineHasNoHostsToAsk() throws {
    #expect(try bash("job_hosts") == [])
  }

  @Test func hostsThatAnswer() throws {
    try package.write("#!/bin/bash\n[ \"$1\" != down ] && eval \"$2\"\n", to: "agent")
    let lines = try bash(
      "answering $'localhost 2\\ndown 4\\nup 1'", ["FREEWHEEL_SSH": "./agent"])
    #expect(lines == ["localhost 2", "up 1"])
  }

  @Test(arguments: [
    ("8 8", "8"), ("8 7", "4"), ("8 3", "2"), ("8 1", "1"), ("6 6", "6"), ("6 5", "3"), ("12 11", "6"), ("12 5", "3"),
    ("7 7", "7"), ("4 100", "4"),
  ])
  func ranksThatLanesDivideOver(_ arguments: String, ranks: String) throws {
    #expect(try bash("ranks_for_lanes \(arguments)") == [ranks])
  }

  @Test func lanesAmongTheFlags() throws {
    #expect(try bash("flags=(--epochs 3 --lanes 8); lanes_given") == ["8"])
    #expect(try bash("flags=(--lanes=4); lanes_given") == ["4"])
    #expect(try bash("flags=(--epochs 3); lanes_given") == [])
  }
}

import Foundation
import Testing

#if canImport(Glibc)
  import Glibc
#endif

/// The mpirun line that `launch/run` makes of its options, as `--dry-run` prints it.
@Suite struct RunLineTests {
  let package: ScriptPackage
  init() throws { package = try ScriptPackage() }

  /// The line for these arguments on a machine of four cores, without the parts that are always the same.
  func line(_ arguments: [String], _ environment: [String: String] = [:]) throws -> String {
    let outcome = try package.run(
      ["mnist", "--dry-run"] + arguments, environment: ["FREEWHEEL_CORES": "4"].merging(environment) { $1 })
    #expect(outcome.code == 0, "\(outcome.errors)")
    #expect(outcome.errors.isEmpty)
    var words = outcome.output.trimmingCharacters(in: .newlines)
    let start = geteuid() == 0 ? "mpirun --allow-run-as-root " : "mpirun "
    let program = "'\(package.root.path)/.build/release/mnist'"
    #expect(words.hasPrefix(start), "\(words)")
    #expect(words.contains(program), "\(words)")
    words = words.replacingOccurrences(of: program, with: "PROGRAM")
    return String(words.dropFirst(start.count))
  }

  @Test func oneRankACore() throws {
    #expect(try line([]) == "-n 4 --bind-to core:if-supported -x OMP_NUM_THREADS=1 PROGRAM")
    #expect(try line(["-n", "2"]) == "-n 2 --bind-to core:if-supported -x OMP_NUM_THREADS=1 PROGRAM")
    #expect(try line(["--ranks", "3"]) == "-n 3 --bind-to core:if-supported -x OMP_NUM_THREADS=1 PROGRAM")
  }

  @Test func moreRanksThanCores() throws {
    #expect(
      try line(["-n", "5"])
        == "-n 5 --oversubscribe --mca mpi_yield_when_idle 1 --bind-to none -x OMP_NUM_THREADS=1 PROGRAM")
  }

  @Test func threadsForEachRank() throws {
    #expect(try line(["--threads", "2"]) == "-n 2 --map-by slot:PE=2 --bind-to core -x OMP_NUM_THREADS=2 PROGRAM")
    #expect(
      try line([], ["FREEWHEEL_THREADS_PER_RANK": "4"])
        == "-n 1 --map-by slot:PE=4 --bind-to core -x OMP_NUM_THREADS=4 PROGRAM")
    #expect(try line(["--threads", "1"], ["FREEWHEEL_THREADS_PER_RANK": "4"]).contains("OMP_NUM_THREADS=1 "))
    // More threads than cores, though not more ranks.
    #expect(
      try line(["--threads", "3", "-n", "2"])
        == "-n 2 --mca mpi_yield_when_idle 1 --bind-to none -x OMP_NUM_THREADS=3 PROGRAM")
    #expect(
      try line(["--threads", "9"])
        == "-n 1 --mca mpi_yield_when_idle 1 --bind-to none -x OMP_NUM_THREADS=9 PROGRAM")
  }

  @Test func severalHosts() throws {
    // FREEWHEEL_CORES, which the tests set, is handed on like any other such variable; the script sets
    // FREEWHEEL_TERMINAL.
    let exports = "-x OMP_NUM_THREADS=1 -x FREEWHEEL_CORES -x FREEWHEEL_TERMINAL PROGRAM"
    #expect(try line(["--hosts", "a:2,b:2"]) == "--host a:2,b:2 --bind-to core:if-supported \(exports)")
    #expect(
      try line(["--hosts", "a.b.c,10.0.0.1:64", "-n", "9"])
        == "--host a.b.c,10.0.0.1:64 -n 9 --bind-to core:if-supported \(exports)")
    #expect(
      try line(["--hosts", "a:2,b:2", "--threads", "8"], ["LD_LIBRARY_PATH": "/opt/lib", "FREEWHEEL_LOG": "debug"])
        == "--host a:2,b:2 --map-by slot:PE=8 --bind-to core -x OMP_NUM_THREADS=8 -x LD_LIBRARY_PATH "
        + "-x FREEWHEEL_CORES -x FREEWHEEL_LOG -x FREEWHEEL_TERMINAL PROGRAM")
    #expect(try line([], ["SLURM_JOB_NUM_NODES": "2"]) == "--bind-to core:if-supported \(exports)")
    #expect(try line([], ["SLURM_JOB_NUM_NODES": "1"]).hasPrefix("-n 4 "))
    // More ranks than this machine has cores say nothing about the hosts; ranks can be left unbound there.
    #expect(
      try line(["--hosts", "a:9,b:9", "--mpirun", "--bind-to none"])
        == "--host a:9,b:9 -x OMP_NUM_THREADS=1 -x FREEWHEEL_CORES -x FREEWHEEL_TERMINAL --bind-to none PROGRAM")
  }

  @Test func aHostfileWithSpacesInItsPath() throws {
    try package.write("node1 slots=2\n", to: "my hosts/host file")
    let path = "\(package.root.path)/my hosts/host file"
    #expect(
      try line(["--hostfile", "my hosts/host file"])
        == "--hostfile '\(path)' --bind-to core:if-supported -x OMP_NUM_THREADS=1 -x FREEWHEEL_CORES "
        + "-x FREEWHEEL_TERMINAL PROGRAM")
  }

  @Test func allocatedNodesOfPBS() throws {
    try package.write("node1\nnode1\nnode2\n", to: "two nodes")
    try package.write("node1\nnode1\n", to: "one node")
    #expect(try !line([], ["PBS_NODEFILE": "\(package.root.path)/two nodes"]).contains("-n "))
    #expect(try line([], ["PBS_NODEFILE": "\(package.root.path)/one node"]).hasPrefix("-n 4 "))
  }

  @Test func furtherFlagsForMpirun() throws {
    #expect(
      try line(["--mpirun", "--mca btl 'tcp,self' --tag-output", "--mpirun", "--wdir \"a b\" '$HOME `x` *'"])
        == "-n 4 --bind-to core:if-supported -x OMP_NUM_THREADS=1 --mca btl tcp,self --tag-output "
        + "--wdir 'a b' '$HOME `x` *' PROGRAM")
    #expect(try line(["--mpirun", ""]) == "-n 4 --bind-to core:if-supported -x OMP_NUM_THREADS=1 PROGRAM")
    // Binding that is asked for replaces the chosen one.
    #expect(try line(["--mpirun", "--bind-to none"]) == "-n 4 -x OMP_NUM_THREADS=1 --bind-to none PROGRAM")
    #expect(try line([], ["OMPI_MCA_hwloc_base_binding_policy": "none"]) == "-n 4 -x OMP_NUM_THREADS=1 PROGRAM")
  }

  @Test func flagsOfTheExampleAreHandedOnAsTheyAre() throws {
    #expect(
      try line(["-n", "1", "--", "--data", "a b", "--help", "-n", "it's", "", "--"])
        == "-n 1 --bind-to core:if-supported -x OMP_NUM_THREADS=1 PROGRAM --data 'a b' --help -n 'it'\\''s' '' --")
  }

  @Test func coresAreCounted() throws {
    let outcome = try package.run(["mnist", "--dry-run"])
    let match = try #require(outcome.output.firstMatch(of: #/ -n ([0-9]+) /#))
    let ranks = try #require(Int(match.1))
    #expect((1...ProcessInfo.processInfo.activeProcessorCount).contains(ranks))
  }

  @Test func anyProgramOfThePackageCanBeNamed() throws {
    for name in ["mnist", "freewheel", "probe"] {
      #expect(try package.run([name, "--dry-run"]).output.contains("/.build/release/\(name)'"))
    }
  }

  @Test func helpExplains() throws {
    for arguments in [["--help"], ["-h"], ["mnist", "--help"]] {
      let outcome = try package.run(arguments)
      #expect(outcome.code == 0)
      for word in ["launch/run EXAMPLE", "--hostfile", "--threads", "--mpirun", "75", "FREEWHEEL_CORES"] {
        #expect(outcome.output.contains(word), "\(word)")
      }
      #expect(!outcome.output.contains("set -euo"))
    }
  }

  @Test(arguments: [
    ([], "name an example: mnist freewheel"),
    (["cifar"], "unknown example cifar; there are: mnist freewheel"),
    (["Neural"], "unknown example Neural"),
    (["."], "unknown example ."),
    (["mnist", "freewheel"], "two examples given, mnist and freewheel"),
    (["mnist", "--epochs", "3"], "unknown option --epochs; flags for the example go behind --"),
    (["mnist", "-n"], "-n needs a value"),
    (["mnist", "-n", "0"], "-n 0: expected a number of ranks, 1 or more"),
    (["mnist", "-n", "two"], "-n two: expected"),
    (["mnist", "-n", "-1"], "-n -1: expected"),
    (["mnist", "-n", "99999999999999999999"], "expected a number of ranks"),
    (["mnist", "--threads", "1.5"], "--threads 1.5: expected"),
    (["mnist", "--hosts", "a:0"], "--hosts a:0: expected host:slots,host:slots"),
    (["mnist", "--hosts", "a b"], "--hosts a b: expected"),
    (["mnist", "--hosts", ""], "--hosts : expected"),
    (["mnist", "--hostfile", "none"], "--hostfile none: no such file"),
    (["mnist", "--hostfile", "launch"], "--hostfile launch: no such file"),
    (["mnist", "--hosts", "a", "--hostfile", "Package.swift"], "exclude each other"),
    (["mnist", "--mpirun", "--mca 'open"], "a quote is not closed"),
  ])
  func wrongOptionsAreRefusedInOneLine(_ arguments: [String], message: String) throws {
    let outcome = try package.run(arguments)
    #expect(outcome.code == 64)
    #expect(outcome.output.isEmpty)
    #expect(outcome.errors.hasPrefix("launch/run: "))
    #expect(outcome.errors.contains(message), "\(outcome.errors)")
    #expect(outcome.errors.split(separator: "\n").count == 1)
  }

  @Test(arguments: ["FREEWHEEL_CORES", "FREEWHEEL_THREADS_PER_RANK", "FREEWHEEL_MPIRUN_PATIENCE"])
  func wrongVariablesAreRefused(_ name: String) throws {
    let outcome = try package.run(["mnist", "--dry-run"], environment: [name: "many"])
    #expect(outcome.code == 64)
    #expect(outcome.errors.contains("\(name)=many: expected a number of"))
  }
}

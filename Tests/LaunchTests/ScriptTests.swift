import Foundation
import Testing

/// The scripts themselves, and `launch/setup` on machines that lack something.
@Suite struct ScriptTests {
  static let scripts = [
    "launch/run", "launch/test", "launch/setup", "launch/lint", "launch/fetch-data", ".ci/run", "launch/slurm.sbatch",
    "launch/pbs.pbs", "Tests/Cluster/cluster", "Tests/Cluster/kill-test", "Tests/Cluster/slurm",
  ].filter { FileManager.default.fileExists(atPath: packageRoot.appendingPathComponent($0).path) }

  @Test(arguments: scripts)
  func areWellFormed(_ script: String) throws {
    let path = packageRoot.appendingPathComponent(script).path
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = ["bash", "-n", path]
    try process.run()
    process.waitUntilExit()
    #expect(process.terminationStatus == 0)
    #expect(FileManager.default.isExecutableFile(atPath: path))
    let text = try String(contentsOfFile: path, encoding: .utf8)
    #expect(text.hasPrefix("#!/usr/bin/env bash\n"))
    #expect(text.contains("\nset -euo pipefail\n"))
  }

  @Test(arguments: ["launch/test", "launch/setup", "launch/lint"])
  func explainThemselves(_ script: String) throws {
    let outcome = try ScriptPackage().run(["--help"], script: script)
    #expect(outcome.code == 0)
    #expect(outcome.output.contains("    \(script)"))
    #expect(outcome.output.contains("Exit codes:"))
  }

  @Test func theHostfileTemplateIsTaken() throws {
    let package = try ScriptPackage()
    let outcome = try package.run(["mnist", "--dry-run", "--hostfile", "launch/hostfile.example"])
    #expect(outcome.code == 0)
    #expect(outcome.output.contains("/launch/hostfile.example'"))
  }

  @Test(arguments: ["launch/setup", "launch/lint"])
  func unknownArgumentsAreRefused(_ script: String) throws {
    let outcome = try ScriptPackage().run(["--bogus"], script: script)
    #expect(outcome.code == 64)
    #expect(outcome.errors.contains("unknown argument --bogus"))
  }

  /// A package with programs of our own in front of the system's.
  func setup(_ programs: [String: String], environment: [String: String] = [:]) throws -> (Outcome, ScriptPackage) {
    let package = try ScriptPackage()
    for (name, body) in programs { try package.write("#!/bin/bash\n\(body)\n", to: "bin/\(name)") }
    let path = ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin"
    let variables = environment.merging(["PATH": "\(package.root.path)/bin:\(path)"]) { $1 }
    return (try package.run([], script: "launch/setup", environment: variables), package)
  }

  @Test func anOldSwiftIsRefused() throws {
    let (outcome, _) = try setup(["swift": "echo 'Swift version 5.10.1 (swift-5.10.1-RELEASE)'"])
    #expect(outcome.code == 1)
    #expect(outcome.errors == "setup: found Swift 5.10.1, expected 6.2 or newer: https://www.swift.org/install\n")
  }

  @Test func aNewerSwiftIsTakenByNumberNotByText() throws {
    let (outcome, _) = try setup(["swift": "echo 'Apple Swift version 6.10 (swiftlang)'", "pkg-config": "exit 0"])
    #expect(!outcome.errors.contains("Swift"), "\(outcome.errors)")
  }

  @Test func version3OfOneDNNIsRefused() throws {
    let package = try ScriptPackage()
    try package.write("#define DNNL_VERSION_MAJOR 3\n", to: "include/oneapi/dnnl/dnnl_version.h")
    let (outcome, _) = try setup(
      ["mpirun": "echo 'mpirun (Open MPI) 4.1.4'", "pkg-config": "exit 0"],
      environment: ["CPATH": "\(package.root.path)/include"])
    #expect(outcome.code == 1)
    #expect(outcome.errors.hasPrefix("setup: found oneDNN 3, but Freewheel needs version 2.x for now"))
  }

  @Test func whatIsMissingIsInstalledWithoutAsking() throws {
    // pkg-config knows no package, until apt-get has "installed" them.
    let (outcome, package) = try setup(
      [
        "id": "echo 0",
        "mpirun": "echo 'mpirun (Open MPI) 4.1.4'",
        "pkg-config": #"[ -e "$(dirname "$0")/installed" ]"#,
        "apt-get": """
        here=$(dirname "$0")
        echo "$DEBIAN_FRONTEND $*" >>"$here/calls"
        case "$*" in *install*) touch "$here/installed" ;; esac
        """,
      ], environment: ["CPATH": try fakeOneDNN(2)])
    #expect(outcome.code == 0, "\(outcome.errors)")
    let calls = try String(contentsOf: package.root.appendingPathComponent("bin/calls"), encoding: .utf8)
    #expect(
      calls == """
        noninteractive -o DPkg::Lock::Timeout=300 update
        noninteractive -o DPkg::Lock::Timeout=300 install -y --no-install-recommends libopenmpi-dev zlib1g-dev

        """)
    #expect(outcome.output.contains("setup: installing libopenmpi-dev zlib1g-dev"))
  }

  @Test func anInstallationThatFailsIsReported() throws {
    let (outcome, _) = try setup(
      [
        "id": "echo 0", "mpirun": "echo 'mpirun (Open MPI) 4.1.4'", "pkg-config": "exit 1",
        "apt-get": "echo 'E: Unable to locate package' >&2; exit 100",
      ], environment: ["CPATH": try fakeOneDNN(2)])
    #expect(outcome.code == 1)
    #expect(outcome.errors.contains("E: Unable to locate package"))
    #expect(outcome.errors.contains("setup: apt-get could not install libopenmpi-dev zlib1g-dev"))
  }

  @Test func withoutRootTheCommandIsNamed() throws {
    let (outcome, _) = try setup(
      [
        "id": "echo 1000", "sudo": "exit 1", "mpirun": "echo 'mpirun (Open MPI) 4.1.4'", "pkg-config": "exit 1",
        "apt-get": "exit 0",
      ], environment: ["CPATH": try fakeOneDNN(2)])
    #expect(outcome.code == 1)
    #expect(outcome.errors.contains("run: apt-get install libopenmpi-dev zlib1g-dev"))
  }

  /// A folder for CPATH with the version header of oneDNN; left for the system to clean, as it outlives the call.
  func fakeOneDNN(_ major: Int) throws -> String {
    let include = FileManager.default.temporaryDirectory.appendingPathComponent("freewheel-onednn-\(major)")
    let folder = include.appendingPathComponent("oneapi/dnnl")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    try Data("#define DNNL_VERSION_MAJOR \(major)\n".utf8).write(
      to: folder.appendingPathComponent("dnnl_version.h"), options: .atomic)
    return include.path
  }
}

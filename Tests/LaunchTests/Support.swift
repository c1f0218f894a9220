import Foundation
import Testing

/// The root of the package, from where this file lies.
let packageRoot = URL(fileURLWithPath: #filePath)
  .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

/// What a script printed, and how it ended.
struct Outcome {
  var code: Int32
  var output: String
  var errors: String
}

/// A copy of the launch scripts in a package of its own, whose programs are shell scripts: what the launch scripts do
/// is then seen without building anything. There is a space in its path.
final class ScriptPackage {
  let root: URL

  init() throws {
    root = FileManager.default.temporaryDirectory.appendingPathComponent("freewheel launch \(UUID().uuidString)")
    let release = root.appendingPathComponent(".build/release")
    try FileManager.default.createDirectory(at: release, withIntermediateDirectories: true)
    try FileManager.default.copyItem(
      at: packageRoot.appendingPathComponent("launch"), to: root.appendingPathComponent("launch"))
    try write(
      """
      let package = Package(products: [
        .library(name: "Neural", targets: ["Neural"]), .executable(name: "mnist", targets: ["mnist"]),
        .executable(name: "freewheel", targets: ["freewheel"]),
      ], targets: [
        .executableTarget(
          name: "probe", path: "Tests/Programs/probe"),
      ])
      """, to: "Package.swift")
  }

  deinit { try? FileManager.default.removeItem(at: root) }

  /// Writes a file below the root, executable if it is a script.
  func write(_ text: String, to path: String) throws {
    let file = root.appendingPathComponent(path)
    try FileManager.default.createDirectory(at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
    try Data(text.utf8).write(to: file)
    if text.hasPrefix("#!") {
      try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: file.path)
    }
  }

  /// Makes `mnist` a shell script.
  func setProgram(_ body: String) throws { try write("#!/bin/bash\n" + body, to: ".build/release/mnist") }

  /// Starts a script of the package.
  func start(
    _ script: String, _ arguments: [String], environment: [String: String] = [:], folder: URL? = nil
  ) throws -> (process: Process, output: Pipe, errors: Pipe) {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = ["bash", root.appendingPathComponent(script).path] + arguments
    process.currentDirectoryURL = folder ?? root
    // What the surroundings of the tests say must not decide what is tested.
    var variables = ProcessInfo.processInfo.environment.filter {
      !$0.key.hasPrefix("FREEWHEEL_") && !$0.key.hasPrefix("SLURM_") && $0.key != "PBS_NODEFILE"
        && $0.key != "LD_LIBRARY_PATH"
    }
    variables.merge(environment) { $1 }
    process.environment = variables
    let (output, errors) = (Pipe(), Pipe())
    (process.standardOutput, process.standardError) = (output, errors)
    process.standardInput = FileHandle.nullDevice
    try withNoSignalBlocked { try process.run() }
    return (process, output, errors)
  }

  /// Runs a script of the package to its end. Its output must fit into a pipe.
  func run(
    _ arguments: [String], script: String = "launch/run", environment: [String: String] = [:], folder: URL? = nil
  ) throws -> Outcome {
    let started = try start(script, arguments, environment: environment, folder: folder)
    started.process.waitUntilExit()
    return Outcome(
      code: started.process.terminationStatus,
      output: String(decoding: started.output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self),
      errors: String(decoding: started.errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self))
  }
}

/// Tests run on threads of libdispatch, which block most signals, and a program that is started inherits that.
func withNoSignalBlocked(_ body: () throws -> Void) rethrows {
  var none = sigset_t()
  var before = sigset_t()
  sigemptyset(&none)
  pthread_sigmask(SIG_SETMASK, &none, &before)
  defer { pthread_sigmask(SIG_SETMASK, &before, nil) }
  try body()
}

/// Whether a program can be started by its name.
func isInstalled(_ program: String) -> Bool {
  let process = Process()
  process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
  process.arguments = ["sh", "-c", "command -v \(program) >/dev/null"]
  guard (try? process.run()) != nil else { return false }
  process.waitUntilExit()
  return process.terminationStatus == 0
}

import Foundation
import SystemPackage
import Testing

@testable import Checkpoints

/// A folder for one test, removed with it.
final class TestFolder {
  let path: FilePath

  init() throws {
    let name = "freewheel-checkpoints-\(UUID().uuidString)"
    path = FilePath(FileManager.default.temporaryDirectory.path).appending(name)
    try FileSystem.createFolder(path)
  }

  deinit { try? FileSystem.removeTree(path) }

  func write(_ bytes: some Sequence<UInt8>, to name: String) throws -> FilePath {
    let file = path.appending(name)
    try Data(bytes).write(to: URL(fileURLWithPath: file.string))
    return file
  }
}

func bytes(of path: FilePath) throws -> [UInt8] { try OpenFile.reading(path).readAll() }

func text(of path: FilePath) throws -> String { String(decoding: try bytes(of: path), as: UTF8.self) }

/// Changes one byte of a file.
func flipByte(of path: FilePath, at offset: Int) throws {
  var content = try bytes(of: path)
  content[offset] ^= 0x40
  try Data(content).write(to: URL(fileURLWithPath: path.string))
}

/// The bytes of a safetensors file with this header, unpadded, and this much data.
func safetensorsBytes(_ header: String, dataCount: Int, claimedLength: UInt64? = nil) -> [UInt8] {
  let length = claimedLength ?? UInt64(header.utf8.count)
  return withUnsafeBytes(of: length.littleEndian) { Array($0) } + header.utf8 + [UInt8](repeating: 0, count: dataCount)
}

/// What a checkpoint's state may hold that is easily lost.
struct ExampleState: Codable, Equatable {
  var epoch = 3
  var weightSum = 0.1 + 0.2
  var negativeZero = -0.0
  var smallest = Double.leastNonzeroMagnitude
  var maximum = -Double.infinity
  var random: [UInt64] = [.max, 0, 1 << 53 + 1]
  var label = "ends with \"quotes\" and ünïcode\n"
}

/// Saves a small checkpoint whose tensors hold the step.
@discardableResult
func saveExample(
  _ store: CheckpointStore, step: Int, metric: Double? = nil, floats: Int = 7
) throws -> CheckpointStore.Saved {
  try store.save(
    step: step,
    model: [TensorToWrite("fc.weight", shape: [floats], floats: [Float](repeating: Float(step), count: floats))],
    optimizer: [TensorToWrite("fc.weight.z", shape: [floats]) { $0.update(repeating: Float(-step)) }],
    metric: metric, state: ExampleState(epoch: step))
}

/// Names in a folder, hidden ones included.
func names(_ folder: FilePath) throws -> [String] { try FileSystem.names(in: folder) }

func linkTarget(_ link: FilePath) throws -> String {
  try FileManager.default.destinationOfSymbolicLink(atPath: link.string)
}

/// The outcome of a program that has ended.
struct Outcome {
  var code: Int32
  var killedBySignal: Bool
  var output: String
  var errors: String
}

/// Starts a program; `path` is searched for its name.
func launch(_ program: String, _ arguments: [String]) throws -> (process: Process, output: Pipe, errors: Pipe) {
  let process = Process()
  process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
  process.arguments = [program] + arguments
  let (output, errors) = (Pipe(), Pipe())
  process.standardOutput = output
  process.standardError = errors
  process.standardInput = FileHandle.nullDevice
  try process.run()
  return (process, output, errors)
}

/// Runs a program to its end. Its output must fit into a pipe.
func run(_ program: String, _ arguments: [String]) throws -> Outcome {
  let started = try launch(program, arguments)
  started.process.waitUntilExit()
  return Outcome(
    code: started.process.terminationStatus,
    killedBySignal: started.process.terminationReason == .uncaughtSignal,
    output: String(decoding: started.output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self),
    errors: String(decoding: started.errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self))
}

/// The program built beside the tests.
func probe() throws -> String {
  let folder = Bundle.main.bundleURL
  let candidates = [folder, folder.deletingLastPathComponent()].map {
    $0.appendingPathComponent("checkpoint-probe").path
  }
  return try #require(candidates.first(where: FileManager.default.isExecutableFile), "not found in \(candidates)")
}

// Saves checkpoints until it is done, told to stop, or killed. Tests start it to see what a killed process and a
// limit on the size of files leave behind.
//
//     checkpoint-probe FOLDER FIRST-STEP COUNT FLOATS

import Checkpoints
import Foundation
import SystemPackage

struct ProbeState: Codable { var step: Int }

let arguments = CommandLine.arguments.dropFirst().map { $0 }
guard arguments.count == 4, let first = Int(arguments[1]), let count = Int(arguments[2]), let floats = Int(arguments[3])
else {
  FileHandle.standardError.write(Data("usage: checkpoint-probe FOLDER FIRST-STEP COUNT FLOATS\n".utf8))
  exit(64)
}
do {
  let store = try CheckpointStore(folder: FilePath(arguments[0]), keep: 2)
  for step in first..<(first + count) {
    let value = Float(step)
    let saved = try store.save(
      step: step,
      model: [TensorToWrite("weight", shape: [floats]) { $0.update(repeating: value) }],
      optimizer: [TensorToWrite("weight.z", shape: [floats]) { $0.update(repeating: -value) }],
      metric: -Double(step), state: ProbeState(step: step))
    for warning in saved.warnings { FileHandle.standardError.write(Data("warning: \(warning)\n".utf8)) }
    FileHandle.standardOutput.write(Data("\(step)\n".utf8))
  }
} catch {
  FileHandle.standardError.write(Data("\(error)\n".utf8))
  exit(1)
}

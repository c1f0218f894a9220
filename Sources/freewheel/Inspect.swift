import ArgumentParser
import Checkpoints
import Foundation
import MPI
import SystemPackage
import Training

/// Lists what a safetensors file or a checkpoint holds, after checking it.
struct Inspect: ParallelCommand {
  static let configuration = CommandConfiguration(
    abstract: "Checks a safetensors file, a checkpoint or a run, and lists what it holds.")

  @Argument(help: "A .safetensors file, or the folder of a run or checkpoint.")
  var path: String

  func run(on world: Communicator) throws -> Int32 {
    // One rank is enough to look; on several, all learn what it met.
    try world.agree(on: "the file") {
      guard world.rank == 0 else { return }
      if path.hasSuffix(".safetensors") {
        try list(SafetensorsFile(FilePath(path)))
      } else {
        let point = try RunFolder.resume(from: FilePath(path))
        try checkAll(of: point)
        let metric = point.checkpoint.metric.map { String(format: ", accuracy %.2f %%", 100 * $0) } ?? ""
        print("\(point.checkpoint.folder): step \(point.checkpoint.step)\(metric), undamaged")
        try list(point.checkpoint.model())
        try list(point.checkpoint.optimizer())
      }
    }
    return 0
  }

  /// Opens every checkpoint of a run, which compares sizes and checksums of all its files.
  private func checkAll(of point: ResumePoint) throws {
    guard let store = try point.run?.checkpoints() else { return }
    var reasons: [String] = []
    for step in try store.steps() {
      do { _ = try store.checkpoint(step: step) } catch { reasons.append("\(error)") }
    }
    guard reasons.isEmpty else { throw DamagedRun(reasons: reasons) }
  }

  private struct DamagedRun: Error, CustomStringConvertible {
    let reasons: [String]
    var description: String { "damaged: " + reasons.joined(separator: "; ") }
  }

  private func list(_ file: borrowing SafetensorsFile) throws {
    print(file.path)
    for (key, value) in file.metadata.sorted(by: { $0.key < $1.key }) { print("  \(key) = \(value)") }
    for tensor in file.tensors {
      guard [.float16, .bfloat16, .float32, .float64].contains(tensor.type) else {
        let values = tensor.shape.isEmpty ? try file.integers(tensor.name).map { "  \($0)" }.joined() : ""
        print("  \(tensor.name)  \(tensor.shape)  \(tensor.type)\(values)")
        continue
      }
      let values = try file.floats(tensor.name)
      let norm = values.reduce(0.0) { $0 + Double($1) * Double($1) }.squareRoot()
      let finite = values.allSatisfy(\.isFinite) ? "" : "  NOT FINITE"
      print("  \(tensor.name)  \(tensor.shape)  \(tensor.type)  norm \(String(format: "%.6g", norm))\(finite)")
    }
  }
}

import Foundation
import SystemPackage
import Testing

@testable import Checkpoints

/// The files as PyTorch sees them. Needs a Python with torch and safetensors: `python3`, or the one in
/// FREEWHEEL_PYTHON.
@Suite struct PyTorchTests {
  static let python = ProcessInfo.processInfo.environment["FREEWHEEL_PYTHON"] ?? "python3"
  static let hasPyTorch = (try? run(python, ["-c", "import torch, safetensors.torch"]).code) == 0

  @Test(.enabled(if: hasPyTorch, "no Python with torch and safetensors; set FREEWHEEL_PYTHON to one"))
  func readsOursAndWeReadIts() throws {
    let folder = try TestFolder()
    let ours = folder.path.appending("ours.safetensors")
    let its = folder.path.appending("its.safetensors")
    let weight = (0..<(3 * 5 * 7)).map { Float($0) / 3 }
    try Safetensors.write(
      [
        TensorToWrite("fc.weight", shape: [3, 5, 7], floats: weight),
        TensorToWrite("fc.bias", shape: [3], floats: [1, 2, 3]),
        TensorToWrite("empty", shape: [0, 2], floats: []), TensorToWrite("scalar", shape: [], floats: [0.25]),
      ], metadata: ["format": "pt"], to: ours)
    let script = """
      import sys, torch, safetensors
      from safetensors.torch import load_file, save_file
      tensors = load_file(sys.argv[1])
      assert {k: (list(v.shape), v.dtype) for k, v in tensors.items()} == {
          "fc.weight": ([3, 5, 7], torch.float32), "fc.bias": ([3], torch.float32),
          "empty": ([0, 2], torch.float32), "scalar": ([], torch.float32)}, tensors
      weight = (torch.arange(105, dtype=torch.float32) / 3).reshape(3, 5, 7)
      assert torch.equal(tensors["fc.weight"], weight)
      assert tensors["scalar"].item() == 0.25
      with safetensors.safe_open(sys.argv[1], "pt") as file: assert file.metadata() == {"format": "pt"}
      values = torch.tensor([0.1, -2.5, 65504.0, 6e-8, float("inf")])
      save_file({"f32": weight, "f16": values.half(), "bf16": values.bfloat16(), "f64": values.double() / 3,
                 "i64": torch.arange(3), "empty": torch.zeros(2, 0)}, sys.argv[2], {"a": "b"})
      print(*values.half().float().tolist(), *values.bfloat16().float().tolist(), *(values.double() / 3).float().tolist())
      """
    let outcome = try run(Self.python, ["-c", script, ours.string, its.string])
    try #require(outcome.code == 0, "\(outcome.errors)")
    let file = try SafetensorsFile(its)
    #expect(file.metadata == ["a": "b"])
    #expect(try file.floats("f32", shape: [3, 5, 7]) == weight)
    #expect(try file.floats("empty", shape: [2, 0]) == [])
    #expect(try file.tensor("i64").type == .int64)
    let expected = outcome.output.split(whereSeparator: \.isWhitespace).compactMap { Double($0).map(Float.init) }
    #expect(try file.floats("f16") + file.floats("bf16") + file.floats("f64") == expected)
    #expect(expected.count == 15)
  }
}

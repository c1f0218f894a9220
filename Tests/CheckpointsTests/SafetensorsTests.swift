import SystemPackage
import Testing

@testable import Checkpoints

@Suite struct SafetensorsTests {
  let folder: TestFolder
  init() throws { folder = try TestFolder() }

  @Test func comesBackAsWritten() throws {
    let path = folder.path.appending("a.safetensors")
    let weight = (0..<21).map { Float($0) * 0.1 }
    let scalar: [Double] = [0.1]
    try scalar.withUnsafeBytes { scalarBytes in
      try Safetensors.write(
        [
          TensorToWrite("weight \"ü\"", shape: [3, 7], floats: weight),
          TensorToWrite("empty", shape: [0, 5], floats: [Float]()),
          TensorToWrite("filled", shape: [5]) { for index in $0.indices { $0[index] = Float(-index) } },
          TensorToWrite("scalar", type: .float64, shape: [], bytes: scalarBytes),
          TensorToWrite("small", shape: [2]) { $0.update(repeating: 9) },
        ],
        metadata: ["format": "pt", "a\nb": "\\"], to: path)
    }
    let file = try SafetensorsFile(path)
    #expect(file.metadata == ["format": "pt", "a\nb": "\\"])
    #expect(file.tensors.map(\.name) == ["weight \"ü\"", "empty", "filled", "scalar", "small"])
    #expect(try file.floats("weight \"ü\"", shape: [3, 7]) == weight)
    #expect(try file.floats("empty") == [])
    #expect(try file.floats("filled") == [0, -1, -2, -3, -4])
    #expect(try file.floats("scalar", shape: []) == [0.1])
    #expect(try file.floats("small") == [9, 9])
    #expect(try file.tensor("scalar").type == .float64)
  }

  @Test func wholeNumbers() throws {
    let path = folder.path.appending("a.safetensors")
    try Safetensors.write(
      [
        TensorToWrite("count", shape: [], integers: [1 << 40]),
        TensorToWrite("labels", shape: [3], integers: [3, -1, .max]),
        TensorToWrite("whole", shape: [2], floats: [2, -7]), TensorToWrite("half", shape: [1], floats: [0.5]),
      ], to: path)
    let file = try SafetensorsFile(path)
    #expect(try file.tensor("count", shape: []).type == .int64)
    #expect(try file.integers("count") == [1 << 40])
    #expect(try file.integers("labels", shape: [3]) == [3, -1, .max])
    #expect(try file.integers("whole") == [2, -7])
    #expect(throws: SafetensorsError.self) { try file.integers("half") }
    #expect(throws: SafetensorsError.self) { try file.integers("labels", shape: [4]) }
    #expect(throws: SafetensorsError.self) {
      try Safetensors.write([TensorToWrite("n", shape: [2], integers: [1])], to: folder.path.appending("b.safetensors"))
    }
    // What may be there need not be, but has its shape if it is.
    try file.expect([("labels", [3])], allowing: [("count", []), ("whole", [2]), ("half", [1]), ("absent", [9])])
    #expect(throws: SafetensorsError.self) { try file.expect([("labels", [3])], allowing: [("count", [])]) }
    #expect(throws: SafetensorsError.self) {
      try file.expect([("labels", [3])], allowing: [("count", [1]), ("whole", [2]), ("half", [1])])
    }
  }

  @Test func bytesAreThoseOfTheFormat() throws {
    let path = folder.path.appending("a.safetensors")
    try Safetensors.write(
      [TensorToWrite("b", shape: [1], floats: [1]), TensorToWrite("a", shape: [1, 2], floats: [2, -2])],
      metadata: ["y": "2", "x": "1"], to: path)
    let header =
      #"{"__metadata__":{"x":"1","y":"2"},"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"#
      + #""a":{"dtype":"F32","shape":[1,2],"data_offsets":[4,12]}}"#
    let padded = header + String(repeating: " ", count: (8 - header.utf8.count % 8) % 8)
    let data: [UInt8] = [0, 0, 0x80, 0x3F, 0, 0, 0, 0x40, 0, 0, 0, 0xC0]
    #expect(try bytes(of: path) == safetensorsBytes(padded, dataCount: 0) + data)
  }

  @Test func noTensorsAtAll() throws {
    let path = folder.path.appending("a.safetensors")
    try Safetensors.write([], to: path)
    #expect(try bytes(of: path) == safetensorsBytes("{}      ", dataCount: 0))
    #expect(try SafetensorsFile(path).tensors.isEmpty)
  }

  @Test func replacesAnOlderFileAndLeavesNothingBeside() throws {
    let path = try folder.write([1, 2, 3], to: "a.safetensors")
    try Safetensors.write([TensorToWrite("a", shape: [1], floats: [1])], to: path)
    #expect(try SafetensorsFile(path).floats("a") == [1])
    #expect(try names(folder.path) == ["a.safetensors"])
  }

  @Test func aFailingSourceLeavesTheOlderFile() throws {
    struct Broken: Error {}
    let path = try folder.write([1, 2, 3], to: "a.safetensors")
    #expect(throws: Broken.self) {
      try Safetensors.write([TensorToWrite("a", shape: [1]) { _ in throw Broken() }], to: path)
    }
    #expect(try bytes(of: path) == [1, 2, 3])
    #expect(try names(folder.path) == ["a.safetensors"])
  }

  struct Contradiction: Sendable {
    var tensors: @Sendable () -> [TensorToWrite]
    var message: String
  }

  @Test(arguments: [
    Contradiction(tensors: { [TensorToWrite("a", shape: [2], floats: [1])] }, message: "4 bytes given, expected 8"),
    Contradiction(tensors: { [TensorToWrite("a", shape: [-1], floats: [1])] }, message: "impossible shape [-1]"),
    Contradiction(tensors: { [TensorToWrite("a", shape: [Int.max, 2], floats: [1])] }, message: "impossible shape"),
    Contradiction(tensors: { [TensorToWrite("a", shape: [Int.max / 2]) { _ in }] }, message: "impossible shape"),
    Contradiction(
      tensors: { ["a", "b"].map { TensorToWrite($0, shape: [Int.max / 6]) { _ in } } }, message: "63 bits"),
    Contradiction(
      tensors: { ["a", "a"].map { TensorToWrite($0, shape: [], floats: [1]) } }, message: "given twice"),
    Contradiction(tensors: { [TensorToWrite("__metadata__", shape: [], floats: [1])] }, message: "reserved"),
  ])
  func contradictionsAreRefusedBeforeWriting(_ contradiction: Contradiction) throws {
    let path = folder.path.appending("a.safetensors")
    let error = #expect(throws: SafetensorsError.self) { try Safetensors.write(contradiction.tensors(), to: path) }
    #expect(error?.description.contains(contradiction.message) == true, "\(String(describing: error))")
    #expect(try names(folder.path).isEmpty)
  }

  @Test func typeAndContentsMustAgree() throws {
    var tensor = TensorToWrite("a", shape: [1], floats: [1])
    tensor.type = .int32
    let path = folder.path.appending("a.safetensors")
    #expect(throws: SafetensorsError.self) { try Safetensors.write([tensor], to: path) }
  }

  @Test func otherFloatingPointTypesAreConverted() throws {
    let halves: [(UInt16, Float)] = [
      (0x0000, 0), (0x3C00, 1), (0xC000, -2), (0x3555, 0.333251953125), (0x0001, 0x1p-24), (0x83FF, -0x1.FF8p-15),
      (0x0400, 0x1p-14), (0x7BFF, 65504), (0x7C00, .infinity), (0xFC00, -.infinity),
    ]
    let brains: [(UInt16, Float)] = [(0x3F80, 1), (0xC049, -3.140625), (0x0001, 0x1p-133), (0x7F80, .infinity)]
    let doubles = [0.1, -1e300, 1e-300, 3]
    let path = folder.path.appending("a.safetensors")
    try halves.map(\.0).withUnsafeBytes { half in
      try brains.map(\.0).withUnsafeBytes { brain in
        try doubles.withUnsafeBytes { double in
          try Safetensors.write(
            [
              TensorToWrite("double", type: .float64, shape: [2, 2], bytes: double),
              TensorToWrite("half", type: .float16, shape: [halves.count], bytes: half),
              TensorToWrite("brain", type: .bfloat16, shape: [brains.count], bytes: brain),
              TensorToWrite("nan", type: .float16, shape: [1], bytes: UnsafeRawBufferPointer(rebasing: half[0..<2])),
              TensorToWrite("integer", type: .int16, shape: [brains.count], bytes: brain),
            ], to: path)
        }
      }
    }
    let file = try SafetensorsFile(path)
    #expect(try file.floats("half") == halves.map(\.1))
    #expect(try file.floats("brain") == brains.map(\.1))
    #expect(try file.floats("double") == [0.1, -.infinity, 0, 3])
    #expect(float(half: 0x7E00).isNaN)
    #expect(float(half: 0x8000).sign == .minus)
    let error = #expect(throws: SafetensorsError.self) { try file.floats("integer") }
    #expect(error?.description == "\(path): tensor \"integer\": found I16, expected F32, F64, F16 or BF16")
  }

  @Test func manyElementsAreConvertedInPieces() throws {
    let values = (0..<100_003).map(Double.init)
    let path = folder.path.appending("a.safetensors")
    try values.withUnsafeBytes {
      try Safetensors.write([TensorToWrite("a", type: .float64, shape: [values.count], bytes: $0)], to: path)
    }
    #expect(try SafetensorsFile(path).floats("a") == values.map(Float.init))
  }

  @Test func missingAndDifferentTensorsAreNamed() throws {
    let path = folder.path.appending("a.safetensors")
    try Safetensors.write(
      [
        TensorToWrite("fc.weight", shape: [2, 3], floats: [0, 0, 0, 0, 0, 0]),
        TensorToWrite("b", shape: [], floats: [1]),
      ],
      to: path)
    let file = try SafetensorsFile(path)
    var error = #expect(throws: SafetensorsError.self) { try file.floats("fc.bias") }
    #expect(error?.description == "\(path): tensor \"fc.bias\": is missing; the file holds fc.weight, b")
    error = #expect(throws: SafetensorsError.self) { try file.floats("fc.weight", shape: [3, 2]) }
    #expect(error?.description == "\(path): tensor \"fc.weight\": found shape [2, 3], expected [3, 2]")
    error = #expect(throws: SafetensorsError.self) { try file.expect([("fc.weight", [2, 3])]) }
    #expect(error?.tensor == "b")
    try file.expect([("b", []), ("fc.weight", [2, 3])])
    var five = [Float](repeating: 0, count: 5)
    #expect(throws: SafetensorsError.self) {
      try five.withUnsafeMutableBufferPointer { try file.read("fc.weight", shape: [2, 3], into: $0) }
    }
  }
}

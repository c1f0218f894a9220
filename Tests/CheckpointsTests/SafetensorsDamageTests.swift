import SystemPackage
import Testing

@testable import Checkpoints

/// What is wrong with a file must be said before any of it is believed.
@Suite struct SafetensorsDamageTests {
  struct Case: CustomTestStringConvertible {
    var name: String
    var bytes: [UInt8]
    var message: String
    var tensor: String?
    var testDescription: String { name }

    init(_ name: String, _ bytes: [UInt8], tensor: String? = nil, _ message: String) {
      (self.name, self.bytes, self.tensor, self.message) = (name, bytes, tensor, message)
    }

    /// One tensor "w" with these three entries, in a file with 8 bytes of data.
    init(_ name: String, dtype: String = "\"F32\"", shape: String = "[2]", offsets: String = "[0,8]", _ message: String)
    {
      let header = "{\"w\":{\"dtype\":\(dtype),\"shape\":\(shape),\"data_offsets\":\(offsets)}}"
      self.init(name, safetensorsBytes(header, dataCount: 8), tensor: "w", message)
    }
  }

  static let w = #""w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}"#

  static let cases: [Case] = [
    Case("empty", [], "has 0 bytes, expected at least 8"),
    Case("shorter than the length", [1, 2, 3, 4, 5, 6, 7], "has 7 bytes"),
    Case("huge header", safetensorsBytes("{}", dataCount: 0, claimedLength: .max), "claims 18446744073709551615 bytes"),
    Case(
      "header above the limit", safetensorsBytes("{}", dataCount: 0, claimedLength: 100_000_001), "at most 100000000"),
    Case("header beyond the file", safetensorsBytes("{}", dataCount: 0, claimedLength: 3), "only 2 follow"),
    Case("no header", safetensorsBytes("", dataCount: 0), "does not begin with {"),
    Case("an array", safetensorsBytes("[]", dataCount: 0), "does not begin with {"),
    Case("leading space", safetensorsBytes(" {}", dataCount: 0), "does not begin with {"),
    Case("cut JSON", safetensorsBytes("{\(w)", dataCount: 8), "not valid JSON"),
    Case("two objects", safetensorsBytes("{\(w)}{}", dataCount: 8), "not valid JSON"),
    Case("deeply nested", safetensorsBytes(String(repeating: "{\"a\":", count: 9999), dataCount: 0), "not valid JSON"),
    Case("not UTF-8", safetensorsBytes("{\"", dataCount: 0, claimedLength: 6) + [0xFF, 0xFE, 0x22, 0x7D], "not UTF-8"),
    Case("an entry that is a number", safetensorsBytes("{\"w\":3}", dataCount: 0), "entry \"w\""),
    Case("an entry that is null", safetensorsBytes("{\"w\":null}", dataCount: 0), "entry \"w\""),
    Case("metadata of numbers", safetensorsBytes("{\"__metadata__\":{\"a\":1}}", dataCount: 0), "\"__metadata__\""),
    Case("one name twice", safetensorsBytes("{\(w),\(w)}", dataCount: 8), tensor: "w", "twice"),
    Case(
      "one name twice, once escaped",
      safetensorsBytes("{\(w),\(w.replacing("\"w\"", with: "\"\\u0077\""))}", dataCount: 8), tensor: "w", "twice"),
    Case(
      "one key twice",
      safetensorsBytes(
        "{\"w\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[2],"
          + "\"data_offsets\":[0,8]}}", dataCount: 8), tensor: "dtype", "twice"),
    Case("unknown dtype", dtype: "\"F33\"", "unknown dtype \"F33\", expected one of BOOL, U8"),
    Case("dtype a number", dtype: "32", "has no \"dtype\""),
    Case("negative extent", shape: "[-2]", "impossible shape [-2]"),
    Case("two negative extents", shape: "[-1,-2]", "impossible shape"),
    Case("product overflows", shape: "[4294967296,4294967296]", "impossible shape"),
    Case("bytes overflow", shape: "[4611686018427387904]", "impossible shape"),
    Case("extent overflows", shape: "[99999999999999999999]", "\"shape\" is not a list"),
    Case("extent with a fraction", shape: "[1.5]", "\"shape\" is not a list"),
    Case("shape a string", shape: "\"2\"", "\"shape\" is not a list"),
    Case("offsets reversed", offsets: "[8,0]", "reversed"),
    Case("offsets negative", offsets: "[-8,0]", "negative"),
    Case("three offsets", offsets: "[0,4,8]", "list of two"),
    Case("offsets overflow", offsets: "[0,99999999999999999999]", "list of two"),
    Case("bytes and shape differ", shape: "[3]", "span 8 bytes, expected 12 for F32 [3]"),
    Case("bytes and dtype differ", dtype: "\"F16\"", "span 8 bytes, expected 4 for F16 [2]"),
    Case("cut data", safetensorsBytes("{\(w)}", dataCount: 7), tensor: "w", "only 7 follow the header"),
    Case("a byte too much", safetensorsBytes("{\(w)}", dataCount: 9), "end at byte 8 of 9"),
    Case("a hole before", offsets: "[4,12]", "only 8 follow"),
    Case(
      "a hole", safetensorsBytes(#"{"w":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#, dataCount: 8),
      tensor: "w", "begin at 4, expected 0"),
    Case(
      "overlap",
      safetensorsBytes(#"{\#(w),"v":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}"#, dataCount: 12),
      tensor: "v", "begin at 4 and overlap"),
    Case(
      "the same bytes twice",
      safetensorsBytes(#"{\#(w),"v":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#, dataCount: 8),
      tensor: "w", "overlap"),
  ]

  @Test(arguments: cases)
  func isRefused(_ damage: Case) throws {
    let folder = try TestFolder()
    let path = try folder.write(damage.bytes, to: "damaged.safetensors")
    let error = #expect(throws: SafetensorsError.self) { _ = try SafetensorsFile(path) }
    let description = error?.description ?? ""
    #expect(error?.tensor == damage.tensor)
    #expect(description.contains(damage.message), "\(description)")
    #expect(description.hasPrefix("\(path): "))
    #expect(!description.contains("\n"))
  }

  @Test func trailingSpacesAndAnyOrderAreFine() throws {
    let folder = try TestFolder()
    let header =
      #"{"b":{"shape":[1],"data_offsets":[4,8],"dtype":"F32"}, "a":{"dtype":"F32","data_offsets":[0,4],"shape":[]}}   "#
    let path = try folder.write(safetensorsBytes(header, dataCount: 8), to: "a.safetensors")
    #expect(try SafetensorsFile(path).tensors.map(\.name) == ["a", "b"])
  }

  @Test func everyPrefixOfAFileIsRefused() throws {
    let folder = try TestFolder()
    let path = folder.path.appending("a.safetensors")
    try Safetensors.write(
      [TensorToWrite("a", shape: [2], floats: [1, 2]), TensorToWrite("b", shape: [1], floats: [3])], to: path)
    let whole = try bytes(of: path)
    for count in 0..<whole.count {
      let cut = try folder.write(whole[0..<count], to: "cut.safetensors")
      #expect(throws: SafetensorsError.self, "a file cut to \(count) of \(whole.count) bytes was accepted") {
        _ = try SafetensorsFile(cut)
      }
    }
  }

  @Test func noFileAndNoRegularFile() throws {
    let folder = try TestFolder()
    let missing = folder.path.appending("none")
    let error = #expect(throws: FileError.self) { _ = try SafetensorsFile(missing) }
    #expect(error?.description == "cannot open \(missing): No such file or directory")
    #expect(throws: SafetensorsError.self) { _ = try SafetensorsFile(folder.path) }
    #expect(throws: SafetensorsError.self) { _ = try SafetensorsFile("/dev/zero") }
  }
}

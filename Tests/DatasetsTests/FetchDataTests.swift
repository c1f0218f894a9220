import Foundation
import Testing

@testable import Datasets

/// `launch/fetch-data` against mirrors made of files (curl reads file:// addresses as it does web ones).
@Suite struct FetchDataTests {
  let folder: TemporaryFolder
  /// Where the data shall go, and the mirror's folder.
  let data: String
  let mirror: String

  init() throws {
    folder = try TemporaryFolder()
    data = folder.path + "/data"
    mirror = folder.path + "/mirror"
    try FileManager.default.createDirectory(atPath: mirror, withIntermediateDirectories: true)
  }

  static let script = packageRoot.appending(path: "launch/fetch-data").path

  /// Runs a program to its end.
  @discardableResult
  func run(
    _ program: String = script, _ arguments: String..., environment: [String: String] = [:]
  ) throws -> (code: Int32, output: String, errors: String) {
    // A script just written may still be open for writing in a child that another test forks at this moment, and is
    // then refused as a program ("text file busy"), but not as something for bash to read.
    let bash = program.hasSuffix("fetch-data") ? ["bash"] : []
    let process = try Subprocess(
      bash + [program] + arguments, environment: ["FREEWHEEL_MIRROR": nil as String?].merging(environment) { $1 },
      outputsIn: folder)
    let code = process.wait()
    return (code, process.output, process.errors)
  }

  /// Expects a failure with one line of explanation that holds all the parts.
  func expectFailure(
    _ result: (code: Int32, output: String, errors: String), code: Int32 = 1, _ parts: String...,
    sourceLocation: SourceLocation = #_sourceLocation
  ) {
    #expect(result.code == code, "\(result)", sourceLocation: sourceLocation)
    #expect(result.errors.hasPrefix("fetch-data: "), "\(result)", sourceLocation: sourceLocation)
    #expect(result.errors.count { $0 == "\n" } == 1, "\(result)", sourceLocation: sourceLocation)
    for part in parts { #expect(result.errors.contains(part), "\(result)", sourceLocation: sourceLocation) }
  }

  /// What lies in a folder, hidden files too; nothing if there is no such folder.
  func contents(_ path: String) -> [String] {
    ((try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []).sorted()
  }

  /// A copy of the script that expects this test's own data: each published checksum replaced by that of `files`.
  ///
  /// Whatever is published cannot be forged, so this is how all of the script but its numbers is tested without a
  /// network.
  func script(expecting files: [String: [UInt8]], archive: String? = nil) throws -> String {
    var text = try String(contentsOfFile: Self.script, encoding: .utf8)
    for (name, bytes) in files {
      let sum = try md5(folder.write("to-sum", bytes))
      text = text.replacing(try Regex("[0-9a-f]{32} \(name)"), with: "\(sum) \(name)")
    }
    if let archive {
      text = text.replacing(try Regex("archive_md5=[0-9a-f]{32}"), with: "archive_md5=\(try md5(archive))")
    }
    return try folder.write("fetch-data", Array(text.utf8))
  }

  func md5(_ path: String) throws -> String {
    let result = try run("md5sum", path)
    #expect(result.code == 0)
    return String(result.output.prefix(32))
  }

  /// Small sets in the shape of MNIST, and a mirror that has them compressed.
  func makeMirror() throws -> [String: [UInt8]] {
    var files: [String: [UInt8]] = [:]
    for (part, count) in [("train", 3), ("t10k", 2)] {
      files["\(part)-images-idx3-ubyte"] = idx([UInt32(count), 28, 28], [UInt8](repeating: 5, count: count * 784))
      files["\(part)-labels-idx1-ubyte"] = idx([UInt32(count)], [UInt8](repeating: 1, count: count))
    }
    for (name, bytes) in files { try folder.write("mirror/\(name).gz", gzipStored(bytes)) }
    return files
  }

  @Test func helpAndBadArguments() throws {
    let help = try run(Self.script, "--help")
    #expect(help.code == 0 && help.errors.isEmpty)
    for word in ["mnist", "fashion-mnist", "cifar10", "iris", "smallnorb", "--base", "FREEWHEEL_MIRROR"] {
      #expect(help.output.contains(word))
    }
    #expect(access(Self.script, X_OK) == 0)
    expectFailure(try run(Self.script), code: 64, "0 words")
    expectFailure(try run(Self.script, "mnist"), code: 64, "1 words")
    expectFailure(try run(Self.script, "mnist", data, "more"), code: 64, "3 words")
    expectFailure(try run(Self.script, "imagenet", data), code: 64, "'imagenet'", "mnist, fashion-mnist and cifar10")
    expectFailure(try run(Self.script, "mnist", data, "--fast"), code: 64, "'--fast'")
    expectFailure(try run(Self.script, "mnist", data, "--base"), code: 64, "--base")
    expectFailure(try run(Self.script, "mnist", ""), code: 64, "empty")
    #expect(contents(data).isEmpty)
  }

  @Test(arguments: ["mnist", "fashion-mnist", "cifar10"]) func forgedDataIsRefused(_ name: String) throws {
    _ = try makeMirror()
    try folder.write("mirror/cifar-10-binary.tar.gz", gzipStored([1, 2, 3]))
    let result = try run(Self.script, name, data, "--base", "file://\(mirror)")
    expectFailure(result, "MD5", "was expected", "file://\(mirror)/", "nothing of it was kept")
    #expect(contents(data).isEmpty)
  }

  @Test func damagedDataIsRefused() throws {
    let files = try makeMirror()
    let whole = gzipStored(files["train-images-idx3-ubyte"] ?? [])
    try folder.write("mirror/train-images-idx3-ubyte.gz", Array(whole.dropLast(20)))
    expectFailure(
      try run(script(expecting: files), "mnist", data, environment: ["FREEWHEEL_MIRROR": "file://\(mirror)"]),
      "train-images-idx3-ubyte.gz is not a whole gzip file")
    #expect(contents(data).isEmpty)
  }

  @Test func missingMirrorsAreReported() throws {
    expectFailure(
      try run(Self.script, "mnist", data, "--base", "file://\(mirror)"), "train-images-idx3-ubyte.gz",
      "cannot be downloaded", "curl")
    // Port 9 of this machine: nobody listens.
    expectFailure(
      try run(Self.script, "cifar10", data, "--base=http://127.0.0.1:9"), "http://127.0.0.1:9/cifar-10-binary.tar.gz",
      "cannot be downloaded")
    #expect(contents(data).isEmpty)
  }

  @Test func unwritableFoldersAreReported() throws {
    let file = try folder.write("file", [1])
    expectFailure(try run(Self.script, "mnist", file, "--base", "file://\(mirror)"), file, "cannot be")
    expectFailure(try run(Self.script, "mnist", file + "/in", "--base", "file://\(mirror)"), "cannot be made")
  }

  @Test(arguments: ["mnist", "fashion-mnist"]) func filesAreUnpackedVerifiedAndKept(_ name: String) throws {
    let files = try makeMirror()
    let script = try script(expecting: files)
    let first = try run(script, name, data, "--base", "file://\(mirror)/")
    #expect(first.code == 0 && first.errors.isEmpty, "\(first)")
    #expect(contents(data) == files.keys.sorted())
    #expect(try LabeledImages.mnist(folder: data).train.count == 3)
    // Now no mirror is needed any more.
    let again = try run(script, name, data, "--base", "file:///nowhere")
    #expect(again.code == 0 && again.output.contains("complete"), "\(again)")
  }

  @Test func wrongFilesAreReplacedAndRightOnesLeft() throws {
    let files = try makeMirror()
    let script = try script(expecting: files)
    try FileManager.default.createDirectory(atPath: data, withIntermediateDirectories: true)
    try folder.write("data/train-images-idx3-ubyte", [1, 2, 3])
    // A compressed one counts, but not behind a wrong plain one.
    try folder.write("data/train-labels-idx1-ubyte.gz", gzipStored(files["train-labels-idx1-ubyte"] ?? []))
    try folder.write("data/t10k-labels-idx1-ubyte.gz", gzipStored(files["t10k-labels-idx1-ubyte"] ?? []))
    try folder.write("data/t10k-labels-idx1-ubyte", [9])
    let result = try run(script, "mnist", data, "--base", "file://\(mirror)")
    #expect(result.code == 0, "\(result)")
    #expect(result.output.contains("train-images-idx3-ubyte is there with another checksum"))
    #expect(result.output.contains("train-labels-idx1-ubyte is there and right"))
    #expect(!contents(data).contains("train-labels-idx1-ubyte"))
    for (name, bytes) in files where name != "train-labels-idx1-ubyte" {
      #expect(try Array(Data(contentsOf: URL(filePath: "\(data)/\(name)"))) == bytes)
    }
  }

  @Test func aFailureLeavesOtherFilesAlone() throws {
    let files = try makeMirror()
    let script = try script(expecting: files)
    try FileManager.default.removeItem(atPath: mirror + "/t10k-images-idx3-ubyte.gz")
    try FileManager.default.createDirectory(atPath: data, withIntermediateDirectories: true)
    try folder.write("data/t10k-images-idx3-ubyte", [1, 2, 3])
    expectFailure(try run(script, "mnist", data, "--base", "file://\(mirror)"), "t10k-images-idx3-ubyte.gz")
    // Those before it in the list are complete, the wrong one is as it was, and nothing temporary is left.
    #expect(contents(data) == ["t10k-images-idx3-ubyte", "train-images-idx3-ubyte", "train-labels-idx1-ubyte"])
    #expect(try Data(contentsOf: URL(filePath: data + "/t10k-images-idx3-ubyte")) == Data([1, 2, 3]))
  }

  @Test func cifar10IsUnpackedAndVerified() throws {
    let inside = mirror + "/cifar-10-batches-bin"
    try FileManager.default.createDirectory(atPath: inside, withIntermediateDirectories: true)
    var files: [String: [UInt8]] = [:]
    for (index, name) in ["data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch"]
      .enumerated()
    {
      files[name + ".bin"] = [UInt8](repeating: UInt8(index), count: 3073)
    }
    for (name, bytes) in files { try folder.write("mirror/cifar-10-batches-bin/\(name)", bytes) }
    try folder.write("mirror/cifar-10-batches-bin/batches.meta.txt", Array("airplane\n".utf8))
    let archive = mirror + "/cifar-10-binary.tar.gz"
    #expect(try run("tar", "-czf", archive, "-C", mirror, "cifar-10-batches-bin").code == 0)
    let script = try script(expecting: files, archive: archive)
    let result = try run(script, "cifar10", data, "--base", "file://\(mirror)")
    #expect(result.code == 0, "\(result)")
    #expect(contents(data) == (files.keys + ["batches.meta.txt"]).sorted())
    for (name, bytes) in files { #expect(try Array(Data(contentsOf: URL(filePath: "\(data)/\(name)"))) == bytes) }
    let (train, test) = try LabeledImages.cifar10(folder: data)
    #expect(train.allLabels == [0, 1, 2, 3, 4] && test.allLabels == [5])
    #expect(try run(script, "cifar10", data, "--base", "file:///nowhere").code == 0)
    // One batch lost: fetched again.
    try FileManager.default.removeItem(atPath: data + "/test_batch.bin")
    #expect(try run(script, "cifar10", data, "--base", "file://\(mirror)").code == 0)
    #expect(contents(data).contains("test_batch.bin"))
    // The right archive with wrong batches.
    try FileManager.default.removeItem(atPath: data)
    var others = files
    others["data_batch_3.bin"] = [1]
    expectFailure(
      try run(self.script(expecting: others, archive: archive), "cifar10", data, "--base", "file://\(mirror)"),
      "data_batch_3.bin")
    #expect(contents(data).isEmpty)
  }
}

/// The script as published, with the real files served over HTTP from this machine.
@Suite(
  .enabled(if: hasRealMNIST, "the real files lie beside the package"),
  .enabled(if: (try? FetchDataTests().run("python3", "--version").code) == 0, "there is Python to serve files"))
struct FetchRealDataTests {
  @Test func theRealFilesAreAccepted() async throws {
    let tests = try FetchDataTests()
    let server = try Subprocess(
      ["python3", "-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", realMNIST],
      outputsIn: tests.folder)
    // "Serving HTTP on 127.0.0.1 port 12345 (http://127.0.0.1:12345/) ..."; killed when it goes out of scope.
    var port: Substring?
    for _ in 0..<600 where port == nil {
      try await Task.sleep(for: .milliseconds(50))
      port = server.output.firstMatch(of: /port (\d+)/)?.1
    }
    let address = "http://127.0.0.1:\(try #require(port))"
    let result = try tests.run(
      FetchDataTests.script, "mnist", tests.data, environment: ["FREEWHEEL_MIRROR": address])
    #expect(result.code == 0 && result.errors.isEmpty, "\(result)")
    #expect(tests.contents(tests.data) == MNISTFolderTests.names.sorted())
    let (train, test) = try LabeledImages.mnist(folder: tests.data)
    #expect(train.count == 60_000 && test.count == 10_000)
    // Where Fashion-MNIST was asked for, MNIST is a forgery.
    tests.expectFailure(
      try tests.run(FetchDataTests.script, "fashion-mnist", tests.data, "--base", address),
      "f4a8712d7a061bf5bd6d2ca38dc4d50a was expected")
    withExtendedLifetime(server) {}
  }
}

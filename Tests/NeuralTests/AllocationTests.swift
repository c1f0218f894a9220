import Foundation
import Neural
import Testing

/// A step must not allocate. The steps are run by a helper program, whose malloc counts by return address; it is built
/// the way the tests are, and what holds in a debug build, where nothing is optimised away, holds in a release build.
@Suite struct AllocationTests {
  private func probe(_ arguments: [String]) throws -> [String: String] {
    // Helpers are built next to the test bundle.
    let folder = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath().deletingLastPathComponent()
    let process = Process()
    process.executableURL = folder.appendingPathComponent("allocation-probe")
    process.arguments = arguments
    let pipe = Pipe()
    process.standardOutput = pipe
    try process.run()
    let output = String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    try #require(process.terminationStatus == 0)
    let words = output.split(whereSeparator: \.isWhitespace).map(String.init)
    var result: [String: String] = [:]
    for index in stride(from: 0, to: words.count - 1, by: 2) { result[words[index]] = words[index + 1] }
    return result
  }

  @Test(arguments: ["mnist", "residual", "transformer"], Precision.available)
  func aTrainingStepAllocatesNothingOfOurs(_ network: String, _ precision: Precision) throws {
    let counts = try probe([network, precision.rawValue])
    #expect(counts["steps"] == "5")
    #expect(counts["ours"] == "0", "first asked for by \(counts["first"] ?? "?")")
  }

  @Test func theCounterSeesAnAllocation() throws {
    let counts = try probe(["leaky"])
    let ours = try #require(counts["ours"].flatMap { Int($0) })
    #expect(ours >= 5)
  }
}

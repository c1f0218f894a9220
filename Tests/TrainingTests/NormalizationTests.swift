import Datasets
import Foundation
import TestSupport
import Testing
import Training

@Suite("Batch normalisation in a run, augmentation, and the CIFAR-10 example")
struct NormalizationTests {
  /// The checks themselves are in `Tests/Programs/normalization-probe`, which runs under mpirun.
  @Test(
    """
    Statistics at x: skipping them costs accuracy, taking them changes no bit of training; resuming; other ranks; \
    pooled statistics; initial weights; mirrored evaluation
    """)
  func probe() async throws {
    let folder = try TemporaryFolder()
    let result = try await MPIRunner.run(
      "normalization-probe", [folder.path], ranks: 2, environment: ["OMP_NUM_THREADS": "1"], timeLimit: .seconds(200))
    #expect(result.exitCode == 0 && !result.timedOut && result.standardOutput.contains("ok"), "\(result)")
  }

  @Test("The CIFAR-10 example refuses other networks, impossible augmentation, and folders without the data")
  func refusals() async throws {
    for (flags, words) in [
      (["--model", "mnist"], ["--model", "mnist", "resnet20"]),
      (["--cutout", "40", "--model", "resnet20"], ["cutout", "40"]), (["--data", "nowhere"], ["nowhere"]),
    ] {
      let folder = try TemporaryFolder()
      let result = try await MPIRunner.runAlone(
        "cifar10", ["--steps", "1", "--output", folder["runs"]] + flags, directory: folder.path)
      #expect(result.exitCode != 0 && result.exitCode < 128 && !result.timedOut, "\(result)")
      let lines = result.standardError.split(separator: "\n").filter { line in words.allSatisfy { line.contains($0) } }
      #expect(lines.count == 1, "expected one line with \(words): \(result)")
      #expect(!FileManager.default.fileExists(atPath: folder["runs"]))
    }
  }

  @Test("Augmentation flags change what is given and leave the rest; contradictions are refused")
  func augmentation() throws {
    func applied(_ flags: [String]) throws -> Augmentation { try AugmentationFlags.parse(flags).applied(to: .cifar10) }
    #expect(try applied([]) == .cifar10)
    #expect(try applied(["--no-augment"]) == .none)
    #expect(
      try applied(["--flip", "alternating", "--cutout", "8", "--padding", "reflect"])
        == Augmentation(cropPadding: 4, padding: .reflect, flip: .alternating, cutout: 8))
    #expect(try applied(["--crop-padding", "0", "--flip", "none"]) == .none)
    for (flags, words) in [
      (["--cutout=-1"], ["--cutout", "-1"]), (["--crop-padding=-2"], ["--crop-padding", "-2"]),
      (["--flip", "upside-down"], ["--flip", "upside-down", "alternating"]),
      (["--no-augment", "--cutout", "8"], ["--no-augment", "--cutout"]),
    ] {
      let error = #expect(throws: (any Error).self) { try AugmentationFlags.parse(flags) }
      let message = AugmentationFlags.message(for: try #require(error))
      #expect(words.allSatisfy { message.contains($0) } && !message.contains("\n"), "\(message)")
    }
  }
}

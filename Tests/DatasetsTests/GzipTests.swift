import Foundation
import Testing

@testable import Datasets

@Suite struct GzipTests {
  let folder: TemporaryFolder
  init() throws { folder = try TemporaryFolder() }

  /// An IDX file of 200 labels, the i-th being i² mod 10, as `gzip` compresses it (Huffman codes and matches).
  let compressed = [UInt8](
    Data(
      base64Encoded:
        "H4sIAAAAAAACA2Ng4GBkYGA4wcDIwsnGysbJwji0WQDKGZgj0AAAAA==")
      ?? Data())

  func labels(_ file: [UInt8]) throws -> [UInt8] {
    try IDX.read(folder.write("labels.gz", file), dimensionCount: 1, holding: "labels").bytes.withBytes { Array($0) }
  }

  @Test func compressedDataIsInflated() throws {
    #expect(try labels(compressed) == (0..<200).map { UInt8($0 * $0 % 10) })
  }

  @Test func membersMayFollowEachOther() throws {
    let file = idx([5], [1, 2, 3, 4, 5])
    #expect(try labels(gzipStored(Array(file[..<6])) + gzipStored(Array(file[6...]))) == [1, 2, 3, 4, 5])
    #expect(try labels(gzipStored(file) + gzipStored([])) == [1, 2, 3, 4, 5])
  }

  @Test func manyBlocksAreInflatedAcrossBufferBoundaries() throws {
    // More than the 1 MiB that is set aside at first, and no multiple of anything.
    let data = (0..<1_300_001).map { UInt8(truncatingIfNeeded: $0 &* 2_654_435_761 >> 8) }
    #expect(try labels(gzipStored(idx([1_300_001], data))) == data)
  }

  @Test func everyTruncationIsNoticed() throws {
    for count in 2..<compressed.count {
      do {
        _ = try labels(Array(compressed[..<count]))
        Issue.record("\(count) of \(compressed.count) bytes passed")
      } catch let error as DatasetError {
        #expect(error.kind == .gzip && error.description.contains("cut off"), "\(count) bytes: \(error)")
      }
    }
  }

  @Test func everyFlippedBitOfDataAndChecksumsIsNoticed() throws {
    // Bytes 4 to 9 hold a time, a hint and the system, which mean nothing to a reader; nor do the bits that fill up the
    // last byte of compressed data, so that there the labels may also be right.
    let truth = try labels(compressed)
    for position in 10..<compressed.count {
      for bit in 0..<8 {
        var damaged = compressed
        damaged[position] ^= 1 << bit
        do {
          let found = try labels(damaged)
          #expect(position == compressed.count - 9 && found == truth, "byte \(position), bit \(bit)")
        } catch is DatasetError {
          continue
        }
      }
    }
  }

  @Test func faultsAreNamed() throws {
    let good = gzipStored(idx([3], [1, 2, 3]))
    var wrong = good
    wrong[good.count - 8] ^= 1
    expectError(.gzip, "labels.gz", "incorrect data check", "fetch") { _ = try labels(wrong) }
    wrong = good
    wrong[good.count - 4] ^= 1
    expectError(.gzip, "incorrect length check") { _ = try labels(wrong) }
    wrong = good
    wrong[2] = 7
    expectError(.gzip, "unknown compression method") { _ = try labels(wrong) }
    expectError(.gzip, "4 bytes of garbage after", "at byte \(good.count)") { _ = try labels(good + [9, 9, 9, 9]) }
    expectError(.gzip, "1 bytes of garbage") { _ = try labels(good + [0x1f]) }
    expectError(.gzip, "damaged") { _ = try labels(good + [0x1f, 0x8b, 1, 2, 3]) }
  }

  @Test func aStreamOfMoreThanItsHeaderAnnouncesIsNotInflatedFurther() throws {
    expectError(.trailingBytes, "more than the 3 bytes") {
      _ = try labels(gzipStored(idx([3], [UInt8](repeating: 1, count: 100_000))))
    }
  }
}

import DataParallel
import Testing

@Suite("Buckets and shards")
struct BucketLayoutTests {
  /// Offsets of tensors of the given sizes.
  private func layout(_ sizes: [Int], target: Int) throws -> BucketLayout {
    var offsets: [Int] = []
    var offset = 0
    for size in sizes {
      offsets.append(offset)
      offset += size
    }
    return try BucketLayout(elementCount: offset, tensorOffsets: offsets, targetCount: target)
  }

  @Test("Buckets are numbered from the end, end at small tensors, and reach their size")
  func order() throws {
    let layout = try layout([10, 20, 30, 5, 1], target: 20)
    #expect(layout.buckets == [30..<66, 10..<30, 0..<10])
  }

  @Test("A large tensor is cut into pieces on cache lines, of about the size asked for")
  func largeTensors() throws {
    let layout = try layout([16, 10_007, 16], target: 2048)
    #expect(layout.buckets == [7552..<10_039, 5040..<7552, 2528..<5040, 16..<2528, 0..<16])
    // Just below twice the size: one bucket.
    #expect(try self.layout([4095], target: 2048).buckets == [0..<4095])
    #expect(try self.layout([4096], target: 2048).buckets == [2048..<4096, 0..<2048])
    // However small buckets are to be.
    #expect(try self.layout([5000], target: 1).buckets.map(\.count) == [1208, 1264, 1264, 1264])
  }

  @Test("Shards of all ranks cover every element exactly once", arguments: [1, 2, 3, 4, 5, 7, 16, 64])
  func cover(ranks: Int) throws {
    for sizes in [[], [1], [3, 2], [1009, 32, 4099, 7], [16], [17, 16, 15, 1], [1_179_648, 128, 1280, 10]] {
      for target in [1, 50, 1 << 18] {
        let layout = try layout(sizes, target: target)
        var owners = [Int](repeating: 0, count: layout.elementCount)
        for rank in 0..<ranks {
          let shard = layout.shard(rank: rank, of: ranks)
          #expect(shard.slices.count == layout.buckets.count)
          #expect(shard.count == shard.slices.reduce(0) { $0 + $1.count })
          var offset = 0
          for (index, slice) in shard.slices.enumerated() {
            #expect(shard.offsets[index] == offset)
            offset += slice.count
            for element in slice { owners[element] += 1 }
            if !slice.isEmpty {
              let start = slice.lowerBound - layout.buckets[index].lowerBound
              #expect(start % BucketLayout.sliceAlignment == 0)
            }
          }
        }
        #expect(owners.allSatisfy { $0 == 1 })
      }
    }
  }

  @Test("Slices of a bucket are as even as whole cache lines allow")
  func balance() throws {
    let layout = try layout([1_000_003], target: 1 << 18)
    let counts = (0..<7).map { layout.slice(bucket: 0, rank: $0, of: 7).count }
    #expect(counts.max()! - counts.min()! <= 7 * BucketLayout.sliceAlignment)
  }

  @Test("Contradictory layouts are refused")
  func refusals() {
    func isRefused(_ count: Int, _ offsets: [Int], _ target: Int) -> Bool {
      do {
        _ = try BucketLayout(elementCount: count, tensorOffsets: offsets, targetCount: target)
        return false
      } catch DataParallelError.invalidLayout(let reason) {
        return !reason.isEmpty
      } catch {
        return false
      }
    }
    #expect(isRefused(-1, [], 16))
    #expect(isRefused(10, [], 16))
    #expect(isRefused(10, [1], 16))
    #expect(isRefused(10, [0, 5, 4], 16))
    #expect(isRefused(10, [0, 11], 16))
    #expect(isRefused(10, [0], 0))
    #expect(!isRefused(0, [], 16))
  }
}

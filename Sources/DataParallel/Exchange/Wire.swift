import CKernels
import MPI

/// What gradients and y travel as between nodes. Sums are taken in float32 in both, and z, x and v never travel.
public enum WireType: String, Sendable, CaseIterable {
  /// As they are: the bits do not depend on which ranks share a node.
  case float32
  /// Rounded to bfloat16, to nearest and ties to even: half the bytes. Every node computes at the rounded y, also the
  /// one whose rank has updated it.
  case bfloat16
}

/// Memory for numbers as they travel.
///
/// The memory belongs to this object alone; whoever holds one of its pointers must keep the object alive.
final class WireBuffer {
  let type: WireType
  private let buffer: AlignedBuffer
  private let numbers: Numbers

  /// The same memory, bound to one type for good.
  private enum Numbers {
    case floats(UnsafeMutablePointer<Float>)
    case halves(UnsafeMutablePointer<UInt16>)
  }

  /// - Throws: ``DataParallelError/outOfMemory(byteCount:what:)``.
  init(_ type: WireType, count: Int, for what: String) throws {
    self.type = type
    buffer = try AlignedBuffer(count: type == .float32 ? count : (count + 1) / 2, for: what)
    switch type {
    case .float32: numbers = .floats(buffer.pointer)
    case .bfloat16:
      numbers = .halves(UnsafeMutableRawPointer(buffer.pointer).bindMemory(to: UInt16.self, capacity: max(count, 1)))
    }
  }

  /// The numbers from `offset` on, of a float32 wire; nil of another.
  func floats(at offset: Int) -> UnsafeMutablePointer<Float>? {
    guard case .floats(let floats) = numbers else { return nil }
    return floats + offset
  }

  /// Stores numbers as they travel.
  func store(_ source: UnsafePointer<Float>, at offset: Int, count: Int) {
    switch numbers {
    case .floats(let floats): (floats + offset).update(from: source, count: count)
    case .halves(let halves): fw_bfloat16_from_float32(source, halves + offset, count)
    }
  }

  /// Reads numbers that have travelled.
  func load(to destination: UnsafeMutablePointer<Float>, from offset: Int, count: Int) {
    switch numbers {
    case .floats(let floats): destination.update(from: floats + offset, count: count)
    case .halves(let halves): fw_float32_from_bfloat16(halves + offset, destination, count)
    }
  }

  func addSend(from offset: Int, count: Int, to rank: Int, tag: Int, in messages: RepeatedMessages) throws {
    switch numbers {
    case .floats(let floats): try messages.addSend(floats + offset, count: count, to: rank, tag: tag)
    case .halves(let halves): try messages.addSend(halves + offset, count: count, to: rank, tag: tag)
    }
  }

  func addReceive(at offset: Int, count: Int, from rank: Int, tag: Int, in messages: RepeatedMessages) throws {
    switch numbers {
    case .floats(let floats): try messages.addReceive(floats + offset, count: count, from: rank, tag: tag)
    case .halves(let halves): try messages.addReceive(halves + offset, count: count, from: rank, tag: tag)
    }
  }
}

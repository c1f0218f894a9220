internal import Glibc

/// Bytes that belong to one object and are freed with it.
final class MemoryBlock {
  let address: UnsafeMutableRawPointer
  let byteCount: Int

  /// Bytes of memory in this machine; where the system does not say, what a process can address.
  static let machineByteCount: Int = {
    let (pages, pageSize) = (sysconf(Int32(_SC_PHYS_PAGES)), sysconf(Int32(_SC_PAGESIZE)))
    let addressable = 1 << 47
    return pages > 0 && pageSize > 0 ? min(pages * pageSize, addressable) : addressable
  }()

  /// Allocates bytes of undefined content.
  /// - Parameter purpose: what they are for, in the error.
  /// - Throws: ``PlanError/memory(purpose:byteCount:machineByteCount:)``.
  init(byteCount: Int, alignment: Int, for purpose: String) throws(PlanError) {
    try Self.check(byteCount, for: purpose)
    var memory: UnsafeMutableRawPointer?
    guard posix_memalign(&memory, alignment, max(byteCount, 1)) == 0, let memory else {
      throw .memory(purpose: purpose, byteCount: byteCount, machineByteCount: Self.machineByteCount)
    }
    address = memory
    self.byteCount = byteCount
  }

  deinit { free(address) }

  /// Refuses more bytes than the machine has. Linux would promise them, and kill the process when it writes to them.
  static func check(_ byteCount: Int, for purpose: String) throws(PlanError) {
    guard byteCount <= machineByteCount else {
      throw .memory(purpose: purpose, byteCount: byteCount, machineByteCount: machineByteCount)
    }
  }

  /// Bytes of a dense tensor of floats; `Int.max` where they cannot be counted.
  static func byteCount(ofFloats shape: [Int]) -> Int {
    var count = MemoryLayout<Float>.stride
    for size in shape {
      let (product, overflow) = count.multipliedReportingOverflow(by: size)
      if overflow { return .max }
      count = product
    }
    return count
  }
}

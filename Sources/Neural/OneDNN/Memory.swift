internal import COneDNN

/// A layout bound to an address. Owns the `dnnl_memory_t`; the bytes belong to whoever set the address.
final class Memory {
  let descriptor: MemoryDescriptor
  let handle: dnnl_memory_t
  private let engine: Engine  // outlives the memory object

  /// - Parameter address: nil leaves the object unbound until `setAddress`.
  init(_ descriptor: MemoryDescriptor, _ engine: Engine, address: UnsafeMutableRawPointer? = nil) throws(OneDNNError) {
    self.descriptor = descriptor
    self.engine = engine
    var handle: dnnl_memory_t?
    var raw = descriptor.raw
    // A null address is DNNL_MEMORY_NONE: oneDNN allocates nothing.
    try check(dnnl_memory_create(&handle, &raw, engine.handle, nil), "dnnl_memory_create")
    self.handle = try created(handle, "dnnl_memory_create")
    if let address { try setAddress(address) }
  }

  deinit { dnnl_memory_destroy(handle) }

  /// Binds the object to other bytes. oneDNN 2 writes zeros over the layout's padding while it does so.
  func setAddress(_ address: UnsafeMutableRawPointer) throws(OneDNNError) {
    try check(dnnl_memory_set_data_handle(handle, address), "dnnl_memory_set_data_handle")
  }
}

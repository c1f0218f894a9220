internal import COneDNN

/// The CPU, as oneDNN sees it. Owns the `dnnl_engine_t`.
final class Engine {
  let handle: dnnl_engine_t

  init() throws(OneDNNError) {
    var handle: dnnl_engine_t?
    try check(dnnl_engine_create(&handle, dnnl_cpu, 0), "dnnl_engine_create")
    self.handle = try created(handle, "dnnl_engine_create")
  }

  deinit { dnnl_engine_destroy(handle) }
}

/// An in-order queue of primitives on an engine. On the CPU a primitive has run when `execute` returns.
final class Stream {
  let handle: dnnl_stream_t
  private let engine: Engine  // outlives the stream

  init(_ engine: Engine) throws(OneDNNError) {
    self.engine = engine
    var handle: dnnl_stream_t?
    try check(
      dnnl_stream_create(&handle, engine.handle, UInt32(dnnl_stream_default_flags.rawValue)), "dnnl_stream_create")
    self.handle = try created(handle, "dnnl_stream_create")
  }

  deinit { dnnl_stream_destroy(handle) }
}

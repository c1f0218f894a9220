internal import COneDNN

/// How a primitive is to be run: scratch memory comes from us (one buffer for all), and a ReLU may be fused behind it.
final class Attributes {
  let handle: dnnl_primitive_attr_t

  init(rectified: Bool = false) throws(OneDNNError) {
    var handle: dnnl_primitive_attr_t?
    try check(dnnl_primitive_attr_create(&handle), "dnnl_primitive_attr_create")
    self.handle = try created(handle, "dnnl_primitive_attr_create")
    try check(
      dnnl_primitive_attr_set_scratchpad_mode(self.handle, dnnl_scratchpad_mode_user),
      "dnnl_primitive_attr_set_scratchpad_mode")
    if rectified { try appendReLU() }
  }

  deinit { dnnl_primitive_attr_destroy(handle) }

  private func appendReLU() throws(OneDNNError) {
    var made: dnnl_post_ops_t?
    try check(dnnl_post_ops_create(&made), "dnnl_post_ops_create")
    let operations = try created(made, "dnnl_post_ops_create")
    defer { dnnl_post_ops_destroy(operations) }
    try check(
      dnnl_post_ops_append_eltwise(operations, 1, dnnl_eltwise_relu, 0, 0), "dnnl_post_ops_append_eltwise")
    try check(dnnl_primitive_attr_set_post_ops(handle, operations), "dnnl_primitive_attr_set_post_ops")
  }
}

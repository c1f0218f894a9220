internal import COneDNN

/// A logical shape together with its physical layout.
///
/// oneDNN 2 describes it by a plain struct; oneDNN 3 by an opaque handle. Nothing outside this folder looks inside.
struct MemoryDescriptor: Equatable {
  private(set) var raw: dnnl_memory_desc_t

  init(_ raw: dnnl_memory_desc_t) { self.raw = raw }

  /// The layout that the primitive likes best.
  static func any(_ shape: [Int], _ precision: Precision = .float32) throws(OneDNNError) -> MemoryDescriptor {
    try MemoryDescriptor(shape, precision, tag: dnnl_format_tag_any)
  }

  /// Dense row-major order: the canonical layout (NCHW, OIHW, out × in).
  static func plain(_ shape: [Int], _ precision: Precision = .float32) throws(OneDNNError) -> MemoryDescriptor {
    let tags = [dnnl_a, dnnl_ab, dnnl_abc, dnnl_abcd, dnnl_abcde]
    guard (1...tags.count).contains(shape.count) else {
      throw OneDNNError(call: "dnnl_memory_desc_init_by_tag", code: UInt32(dnnl_invalid_arguments.rawValue))
    }
    return try MemoryDescriptor(shape, precision, tag: tags[shape.count - 1])
  }

  /// Images in blocks of 16 channels (nChw16c), which oneDNN's AVX-512 kernels use.
  static func blocked16(_ shape: [Int], _ precision: Precision = .float32) throws(OneDNNError) -> MemoryDescriptor {
    try MemoryDescriptor(shape, precision, tag: dnnl_aBcd16b)
  }

  /// The second dimension innermost: NHWC for images, OHWI for weights.
  static func channelsLast(_ shape: [Int], _ precision: Precision = .float32) throws(OneDNNError) -> MemoryDescriptor {
    try MemoryDescriptor(shape, precision, tag: dnnl_acdb)
  }

  /// Matrices, one behind the other, each stored column by column: row-major matrices read as their transposes.
  static func transposed(_ shape: [Int], _ precision: Precision = .float32) throws(OneDNNError) -> MemoryDescriptor {
    try MemoryDescriptor(shape, precision, tag: dnnl_acb)
  }

  private init(_ shape: [Int], _ precision: Precision, tag: dnnl_format_tag_t) throws(OneDNNError) {
    var raw = dnnl_memory_desc_t()
    let dimensions = shape.map { dnnl_dim_t($0) }
    try check(
      dnnl_memory_desc_init_by_tag(&raw, Int32(shape.count), dimensions, precision.dataType, tag),
      "dnnl_memory_desc_init_by_tag")
    self.raw = raw
  }

  /// The same shape and layout with elements of another type.
  func with(_ precision: Precision) -> MemoryDescriptor {
    var copy = self
    copy.raw.data_type = precision.dataType
    return copy
  }

  /// The type of the elements. (Workspaces hold bytes, and are not asked.)
  var precision: Precision { raw.data_type == dnnl_bf16 ? .bfloat16 : .float32 }

  /// Logical dimensions, without padding.
  var shape: [Int] { Self.prefix(of: raw.dims, count: Int(raw.ndims)) }

  /// Dimensions in memory: channels rounded up to the block.
  var paddedShape: [Int] { Self.prefix(of: raw.padded_dims, count: Int(raw.ndims)) }

  /// Bytes in memory, padding included.
  var byteCount: Int {
    var copy = raw
    return dnnl_memory_desc_get_size(&copy)
  }

  /// Elements in memory, padding included.
  var elementCount: Int { byteCount / precision.byteCount }

  /// Whether a primitive has still to choose the layout.
  var isAny: Bool { raw.format_kind == dnnl_format_kind_any }

  /// Whether there is anything to describe: a scratchpad of no bytes has an empty descriptor.
  var isEmpty: Bool { raw.ndims == 0 }

  /// Whether example n (the first dimension) lies in one piece, at n times the size of an example.
  var hasContiguousExamples: Bool {
    guard raw.format_kind == dnnl_blocked, raw.ndims > 0 else { return false }
    let batch = Int(raw.dims.0)
    return batch == Int(raw.padded_dims.0) && Int(raw.format_desc.blocking.strides.0) * batch == elementCount
  }

  /// The layout in oneDNN's notation, such as `ABcd16b16a`: letters from outermost to innermost, capital where blocked.
  var formatName: String {
    if raw.format_kind != dnnl_blocked { return isAny ? "any" : "opaque" }
    let blocking = raw.format_desc.blocking
    let count = Int(raw.ndims)
    let strides = Self.prefix(of: blocking.strides, count: count)
    let innerCount = Int(blocking.inner_nblks)
    let innerBlocks = Self.prefix(of: blocking.inner_blks, count: innerCount)
    let innerAxes = Self.prefix(of: blocking.inner_idxs, count: innerCount)
    let padded = paddedShape
    let order = (0..<count).sorted { (strides[$0], padded[$0], -$0) > (strides[$1], padded[$1], -$1) }
    let letters = Array("abcdefghijkl")
    var name = ""
    for axis in order {
      name += innerAxes.contains(axis) ? letters[axis].uppercased() : String(letters[axis])
    }
    for (size, axis) in zip(innerBlocks, innerAxes) { name += "\(size)\(letters[axis])" }
    return name
  }

  static func == (left: MemoryDescriptor, right: MemoryDescriptor) -> Bool {
    var (first, second) = (left.raw, right.raw)
    return dnnl_memory_desc_equal(&first, &second) != 0
  }

  /// A C array arrives in Swift as a tuple; this is its first `count` elements.
  private static func prefix<Tuple>(of tuple: Tuple, count: Int) -> [Int] {
    withUnsafeBytes(of: tuple) { bytes in bytes.bindMemory(to: dnnl_dim_t.self).prefix(count).map { Int($0) } }
  }
}

extension Precision {
  fileprivate var dataType: dnnl_data_type_t { self == .bfloat16 ? dnnl_bf16 : dnnl_f32 }
}

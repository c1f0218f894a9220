internal import COneDNN

extension Plan {
  /// Version of the oneDNN library in use, such as `2.6.3`.
  public static var libraryVersion: String {
    guard let version = dnnl_version()?.pointee else { return "unknown" }
    return "\(version.major).\(version.minor).\(version.patch)"
  }
}

extension Precision {
  /// Whether oneDNN generates bfloat16 kernels for this processor (with AVX-512 it does), fast or not.
  static var hasBFloat16Kernels: Bool { has(dnnl_cpu_isa_avx512_core) }

  /// Whether the processor multiplies bfloat16 numbers by instructions of its own (AVX512-BF16 or AMX). Without them
  /// bfloat16 is no faster than single precision.
  public static var hasBFloat16Instructions: Bool { has(dnnl_cpu_isa_avx512_core_bf16) }

  /// Whether the processor multiplies whole tiles of bfloat16 numbers (AMX).
  static var hasMatrixInstructions: Bool { has(dnnl_cpu_isa_avx512_core_amx) }

  /// oneDNN's names of instruction sets are sets of bits.
  private static func has(_ wanted: dnnl_cpu_isa_t) -> Bool {
    dnnl_get_effective_cpu_isa().rawValue & wanted.rawValue == wanted.rawValue
  }
}

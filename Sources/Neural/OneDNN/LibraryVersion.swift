internal import COneDNN

extension Plan {
  /// Version of the oneDNN library in use, such as `2.6.3`.
  public static var libraryVersion: String {
    guard let version = dnnl_version()?.pointee else { return "unknown" }
    return "\(version.major).\(version.minor).\(version.patch)"
  }
}

extension Plan {
  /// The instruction set that oneDNN generates code for on this processor, as the value of `DNNL_MAX_CPU_ISA` that asks
  /// for no more than it: `AVX2`, `AVX512_CORE`, …. Plans of different ones differ in their last bits, and in the layout
  /// of their parameters.
  public static var instructionSet: String {
    let effective = dnnl_get_effective_cpu_isa()
    let names: [(dnnl_cpu_isa_t, String)] = [
      (dnnl_cpu_isa_avx512_core_amx, "AVX512_CORE_AMX"), (dnnl_cpu_isa_avx512_core_bf16, "AVX512_CORE_BF16"),
      (dnnl_cpu_isa_avx512_core_vnni, "AVX512_CORE_VNNI"), (dnnl_cpu_isa_avx512_core, "AVX512_CORE"),
      (dnnl_cpu_isa_avx512_mic, "AVX512_MIC"), (dnnl_cpu_isa_avx2_vnni, "AVX2_VNNI"), (dnnl_cpu_isa_avx2, "AVX2"),
      (dnnl_cpu_isa_avx, "AVX"), (dnnl_cpu_isa_sse41, "SSE41"),
    ]
    return names.first { effective.rawValue & $0.0.rawValue == $0.0.rawValue }?.1 ?? "none"
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

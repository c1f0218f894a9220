// The passes of batch normalisation over float32.
#define FW_ELEMENT float
#define FW_TARGET
#define FW_LOAD(to, from) memcpy(to, from, sizeof(fw_f32x16))
#define FW_STORE(to, from) memcpy(to, from, sizeof(fw_f32x16))
#include "neural_batch_norm_tiles.h"

#if defined(__x86_64__)
__attribute__((target("avx512f"))) static void pass_avx512(FW_IMAGE_PASS_PARAMETERS) {
  enter(layout, pass, operands, sums, true);
}

__attribute__((target("avx2,fma"))) static void pass_avx2(FW_IMAGE_PASS_PARAMETERS) {
  enter(layout, pass, operands, sums, true);
}

// One loop for all passes: only processors older than AVX2 get here.
static void pass_baseline(FW_IMAGE_PASS_PARAMETERS) { enter(layout, pass, operands, sums, false); }

void fw_image_pass_float32(FW_IMAGE_PASS_PARAMETERS) {
  if (__builtin_cpu_supports("avx512f")) {
    pass_avx512(layout, pass, operands, sums);
  } else if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    pass_avx2(layout, pass, operands, sums);
  } else {
    pass_baseline(layout, pass, operands, sums);
  }
}
#else
void fw_image_pass_float32(FW_IMAGE_PASS_PARAMETERS) { enter(layout, pass, operands, sums, true); }
#endif

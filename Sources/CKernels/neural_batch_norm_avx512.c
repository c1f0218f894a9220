// The passes of batch normalisation over bfloat16, for processors that convert to it.
#if defined(__x86_64__)
#include <immintrin.h>

#include "neural_bfloat16.h"

#define FW_ELEMENT uint16_t
#define FW_TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512bf16")))
#define FW_LOAD(to, from) fw_load_bfloat16(to, from)
#define FW_STORE(to, from) _mm256_storeu_si256((void *)(to), (__m256i)_mm512_cvtneps_pbh((__m512)*(from)))
#include "neural_batch_norm_tiles.h"

FW_TARGET void fw_image_pass_avx512bf16(FW_IMAGE_PASS_PARAMETERS) {
  enter(layout, pass, operands, sums, true);
}
#endif

#include "NeuralKernels.h"
#include "neural_random.h"

void fw_philox4x32(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]) {
  fw_u64x8 c[4];
  for (int word = 0; word < 4; word++) c[word] = (fw_u64x8){counter[word]};
  fw_philox_rounds(c, (uint64_t)key[1] << 32 | key[0]);
  for (int word = 0; word < 4; word++) out[word] = (uint32_t)c[word][0];
}

void fw_uniform_fill(float *out, size_t first, size_t count, uint64_t seed, uint32_t tensor, float bound) {
  const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
  uint32_t words[4];
  uint64_t drawn = UINT64_MAX;  // the counter `words` belong to
  for (size_t i = 0; i < count; i++) {
    const uint64_t element = first + i;
    if (element / 4 != drawn) {
      drawn = element / 4;
      const uint32_t counter[4] = {(uint32_t)drawn, (uint32_t)(drawn >> 32), tensor, FW_STREAM_INITIALIZATION};
      fw_philox4x32(counter, key, words);
    }
    // 24 bits fill a float's significand, so u < 1 holds without rounding.
    const float u = (float)(words[element % 4] >> 8) * 0x1p-24f;
    out[i] = bound * (2.0f * u - 1.0f);
  }
}

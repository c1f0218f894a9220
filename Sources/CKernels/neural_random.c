#include "NeuralKernels.h"
#include "neural_random.h"

#include <math.h>

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

void fw_normal_fill(
    float *out, size_t count, uint64_t seed, uint32_t tensor, double standard_deviation, bool truncated) {
  const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
  for (size_t i = 0; i < count; i++) {
    double value = 0;
    bool found = false;
    for (uint32_t attempt = 0; !found; attempt++) {
      const uint32_t counter[4] = {
          (uint32_t)i, (uint32_t)((uint64_t)i >> 32), attempt, FW_STREAM_NORMAL | (tensor & 0xFFFFFF)};
      uint32_t words[4];
      fw_philox4x32(counter, key, words);
      for (int pair = 0; pair < 4 && !found; pair += 2) {
        // Box and Muller, "A note on the generation of random normal deviates", 1958; the logarithm's argument is in
        // (0, 1].
        const double radius = sqrt(-2 * log((words[pair] + 1.0) * 0x1p-32));
        value = radius * cos(6.283185307179586 * (words[pair + 1] * 0x1p-32));
        found = !truncated || fabs(value) <= 2;
      }
    }
    out[i] = (float)(standard_deviation * value);
  }
}

#include "NeuralKernels.h"
#include "neural_dropout.h"

enum { LANES = 16 };

// Strictly larger, so that the first of equals wins; and a NaN, which differs from itself and is then larger than nothing,
// so that it stays.
FW_INLINE bool beats(float challenger, float champion) {
  return (challenger > champion) | (challenger != challenger);
}

FW_INLINE void pool_pixel(
    const float *row0, const float *row1, float *dst, uint8_t *index, bool rectify, bool wants_index) {
  float best[LANES];
  uint32_t which[LANES];
  for (int lane = 0; lane < LANES; lane++) {
    const float a = row0[lane], b = row0[LANES + lane], c = row1[lane], d = row1[LANES + lane];
    float value = a;
    uint32_t winner = 0;
    winner = beats(b, value) ? 1 : winner;
    value = beats(b, value) ? b : value;
    winner = beats(c, value) ? 2 : winner;
    value = beats(c, value) ? c : value;
    winner = beats(d, value) ? 3 : winner;
    value = beats(d, value) ? d : value;
    if (rectify) value = value < 0 ? 0 : value;
    best[lane] = value;
    which[lane] = winner;
  }
  for (int lane = 0; lane < LANES; lane++) dst[lane] = best[lane];
  if (wants_index) {
    for (int lane = 0; lane < LANES; lane++) index[lane] = (uint8_t)which[lane];
  }
}

FW_INLINE void pool(
    const float *src, float *dst, uint8_t *index, size_t examples, size_t planes, size_t height, size_t width,
    uint64_t first_example, bool rectify, bool wants_index, const fw_dropout *dropout) {
  const size_t rows = height / 2, columns = width / 2, count = planes * rows * columns * LANES;
  for (size_t example = 0; example < examples; example++) {
    float *const pooled = dst;
    for (size_t plane = 0; plane < planes; plane++) {
      for (size_t row = 0; row < rows; row++) {
        const float *row0 = src + 2 * row * width * LANES, *row1 = row0 + width * LANES;
        for (size_t column = 0; column < columns; column++) {
          pool_pixel(row0, row1, dst, index, rectify, wants_index);
          row0 += 2 * LANES;
          row1 += 2 * LANES;
          dst += LANES;
          if (wants_index) index += LANES;
        }
      }
      src += height * width * LANES;
    }
    // While the example is in the cache.
    if (dropout->threshold) drop(pooled, pooled, 1, count, first_example + example, false, dropout);
  }
}

FW_CLONES void fw_max_pool2_forward(
    const float *src, float *dst, uint8_t *index, size_t examples, size_t planes, size_t height, size_t width,
    uint64_t first_example, bool rectify, const fw_dropout *dropout) {
  // Copies, so that no condition is tested in the loop.
  if (rectify && index) {
    pool(src, dst, index, examples, planes, height, width, first_example, true, true, dropout);
  } else if (rectify) {
    pool(src, dst, index, examples, planes, height, width, first_example, true, false, dropout);
  } else {
    pool(src, dst, index, examples, planes, height, width, first_example, false, index != NULL, dropout);
  }
}

FW_INLINE void unpool(
    const float *diff, const float *dst, const uint8_t *index, float *diff_src, size_t planes, size_t height,
    size_t width, bool rectify, float scale) {
  const size_t rows = height / 2, columns = width / 2;
  for (size_t plane = 0; plane < planes; plane++) {
    for (size_t row = 0; row < rows; row++) {
      float *row0 = diff_src + 2 * row * width * LANES, *row1 = row0 + width * LANES;
      for (size_t column = 0; column < columns; column++) {
        float out[4][LANES];
        for (int lane = 0; lane < LANES; lane++) {
          float value = diff[lane] * scale;
          if (rectify) value = dst[lane] > 0 ? value : 0;
          const uint32_t winner = index[lane];
          out[0][lane] = winner == 0 ? value : 0;
          out[1][lane] = winner == 1 ? value : 0;
          out[2][lane] = winner == 2 ? value : 0;
          out[3][lane] = winner == 3 ? value : 0;
        }
        memcpy(row0, out[0], 2 * sizeof out[0]);
        memcpy(row1, out[2], 2 * sizeof out[2]);
        row0 += 2 * LANES;
        row1 += 2 * LANES;
        diff += LANES;
        dst += LANES;
        index += LANES;
      }
      // The column and the row that windows of two leave over.
      if (width % 2) {
        memset(row0, 0, LANES * sizeof(float));
        memset(row1, 0, LANES * sizeof(float));
      }
    }
    if (height % 2) memset(diff_src + (height - 1) * width * LANES, 0, width * LANES * sizeof(float));
    diff_src += height * width * LANES;
  }
}

FW_CLONES void fw_max_pool2_backward(
    const float *diff, const float *dst, const uint8_t *index, float *diff_src, size_t examples, size_t planes,
    size_t height, size_t width, bool rectify, float scale) {
  if (rectify) {
    unpool(diff, dst, index, diff_src, examples * planes, height, width, true, scale);
  } else {
    unpool(diff, dst, index, diff_src, examples * planes, height, width, false, scale);
  }
}

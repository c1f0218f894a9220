#include "NeuralKernels.h"
#include "neural_dropout.h"

enum { LANES = 16 };
typedef uint8_t fw_u8x16 __attribute__((vector_size(16)));

// Replaces champion by challenger, lane by lane, where that is strictly larger, so that the first of equals wins, or a
// NaN, which differs from itself and is then smaller than nothing, so that it stays.
#define FW_CHALLENGE(champion, winner, challenger, number) \
  do { \
    const fw_i32x16 wins = ((challenger) > (champion)) | ((challenger) != (challenger)); \
    champion = FW_SELECT(wins, challenger, champion); \
    winner = (wins & (number)) | (~wins & (winner)); \
  } while (0)

FW_INLINE void pool_pixel(
    const float *row0, const float *row1, float *dst, uint8_t *index, bool rectify, bool wants_index) {
  const fw_f32x16 *first = (const fw_f32x16 *)row0, *second = (const fw_f32x16 *)row1;
  fw_f32x16 value = first[0];
  fw_i32x16 winner = {0};
  FW_CHALLENGE(value, winner, first[1], 1);
  FW_CHALLENGE(value, winner, second[0], 2);
  FW_CHALLENGE(value, winner, second[1], 3);
  const fw_f32x16 zero = {0};
  if (rectify) value = FW_SELECT(value < zero, zero, value);
  *(fw_f32x16 *)dst = value;
  if (wants_index) {
    const fw_u8x16 bytes = __builtin_convertvector(winner, fw_u8x16);
    memcpy(index, &bytes, sizeof bytes);
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
        const fw_f32x16 zero = {0};
        fw_f32x16 value = *(const fw_f32x16 *)diff * scale;
        if (rectify) value = FW_SELECT(*(const fw_f32x16 *)dst > zero, value, zero);
        fw_u8x16 bytes;
        memcpy(&bytes, index, sizeof bytes);
        const fw_i32x16 winner = __builtin_convertvector(bytes, fw_i32x16);
        *(fw_f32x16 *)row0 = FW_SELECT(winner == 0, value, zero);
        *(fw_f32x16 *)(row0 + LANES) = FW_SELECT(winner == 1, value, zero);
        *(fw_f32x16 *)row1 = FW_SELECT(winner == 2, value, zero);
        *(fw_f32x16 *)(row1 + LANES) = FW_SELECT(winner == 3, value, zero);
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

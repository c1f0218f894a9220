// The rows of one head's probabilities: softmax and dropout, and the way back through both.
#pragma once

#include "neural_lanes.h"
#include "neural_dropout.h"

// The bits of elements first ..< first + count of an example's stream begin where the return value points.
FW_INLINE const uint32_t *fw_draw_range(
    uint32_t *bits, size_t first, size_t count, uint64_t example, const fw_dropout *dropout) {
  uint32_t *next = bits;
  for (size_t block = first / BLOCK; block * BLOCK < first + count; block++, next += BLOCK) {
    block_bits random;
    draw(&random, block, example, dropout);
    memcpy(next, &random, sizeof random);
  }
  return bits + first % BLOCK;
}

FW_INLINE float fw_largest(const fw_f32x8 *v) {
  fw_f32x8 a = *v, b = __builtin_shufflevector(a, a, 4, 5, 6, 7, 0, 1, 2, 3);
  a = FW_CHOOSE(8, a > b, a, b);
  b = __builtin_shufflevector(a, a, 2, 3, 0, 1, 6, 7, 4, 5);
  a = FW_CHOOSE(8, a > b, a, b);
  return a[0] > a[1] ? a[0] : a[1];
}

FW_INLINE float fw_total(const fw_f32x8 *v) {
  const fw_f32x8 a = *v + __builtin_shufflevector(*v, *v, 4, 5, 6, 7, 0, 1, 2, 3);
  const fw_f32x8 b = a + __builtin_shufflevector(a, a, 2, 3, 0, 1, 6, 7, 4, 5);
  return b[0] + b[1];
}

// Scores become probabilities, with the sign bit set where dropout takes them out; `used` gets what is left of them.
// Rows are padded: there the scores must be the last one again (so that the largest is right); the probabilities are 0.
//
// Three passes, the middle one over all rows as one, because a row is short: its two sums and its exp, one waiting for
// the other, would take twice the time.
FW_INLINE void fw_softmax(
    float *scores, size_t rows, size_t count, float factor, const uint32_t *bits, const fw_dropout *dropout,
    float *used) {
  const fw_i32x8 lane = {0, 1, 2, 3, 4, 5, 6, 7};
  const size_t pitch = fw_padded(count), last = pitch - 8;
  for (size_t i = 0; i < rows; i++) {
    float *row = scores + i * pitch;
    fw_f32x8 v, peak;
    memcpy(&peak, row, sizeof peak);
    for (size_t j = 8; j < pitch; j += 8) {
      memcpy(&v, row + j, sizeof v);
      peak = FW_CHOOSE(8, v > peak, v, peak);
    }
    const float offset = fw_largest(&peak) * factor;
    for (size_t j = 0; j < pitch; j += 8) {
      memcpy(&v, row + j, sizeof v);
      v = v * factor - offset;
      memcpy(row + j, &v, sizeof v);
    }
  }

  size_t i = 0;
  for (; i + 16 <= rows * pitch; i += 16) {
    fw_f32x16 v;
    memcpy(&v, scores + i, sizeof v);
    fw_exp16(&v);
    memcpy(scores + i, &v, sizeof v);
  }
  if (i < rows * pitch) {
    fw_f32x8 v;
    memcpy(&v, scores + i, sizeof v);
    fw_exp8(&v);
    memcpy(scores + i, &v, sizeof v);
  }

  for (size_t i = 0; i < rows; i++) {
    float *row = scores + i * pitch;
    fw_f32x8 v, sum = {0};
    memcpy(&v, row + last, sizeof v);
    v = (fw_f32x8)((fw_i32x8)v & (lane < (int32_t)(count - last)));
    memcpy(row + last, &v, sizeof v);
    for (size_t j = 0; j < pitch; j += 8) {
      memcpy(&v, row + j, sizeof v);
      sum += v;
    }
    const float inverse = 1 / fw_total(&sum);
    for (size_t j = 0; j < pitch; j += 8) {
      memcpy(&v, row + j, sizeof v);
      v = v * inverse;
      if (bits) {
        fw_u32x8 word;
        memcpy(&word, bits + i * count + j, sizeof word);
        const fw_i32x8 keep = word >= dropout->threshold;
        const fw_f32x8 left = (fw_f32x8)((fw_i32x8)(v * dropout->scale) & keep);
        memcpy(used + i * pitch + j, &left, sizeof left);
        v = (fw_f32x8)((fw_i32x8)v | (~keep & INT32_MIN));
      }
      memcpy(row + j, &v, sizeof v);
    }
  }
}

// The gradient of the probabilities used becomes that of the scores; `used` gets the probabilities used again.
FW_INLINE void fw_softmax_row_backward(
    const float *probabilities, float *diff, size_t pitch, float factor, bool drops, float scale, float *used) {
  fw_f32x8 sum = {0}, p, g;
  for (size_t j = 0; j < pitch; j += 8) {
    memcpy(&p, probabilities + j, sizeof p);
    memcpy(&g, diff + j, sizeof g);
    if (drops) {
      const fw_i32x8 keep = (fw_i32x8)p >= 0;
      const fw_f32x8 left = (fw_f32x8)((fw_i32x8)(p * scale) & keep);
      memcpy(used + j, &left, sizeof left);
      g = left * g;
    } else {
      g = p * g;
    }
    memcpy(diff + j, &g, sizeof g);
    sum += g;
  }
  const float mean = fw_total(&sum);
  for (size_t j = 0; j < pitch; j += 8) {
    memcpy(&p, probabilities + j, sizeof p);
    memcpy(&g, diff + j, sizeof g);
    if (drops) p = (fw_f32x8)((fw_i32x8)p & INT32_MAX);
    g = (g - p * mean) * factor;
    memcpy(diff + j, &g, sizeof g);
  }
}

// The rows of one head's probabilities: softmax and dropout, and the way back through both.
#pragma once

#include "neural_attention_vector.h"
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
  float a[8];
  memcpy(a, v, sizeof a);
  FW_UNROLL for (size_t step = 4; step > 0; step /= 2) {
    for (size_t i = 0; i < step; i++) a[i] = a[i] > a[i + step] ? a[i] : a[i + step];
  }
  return a[0];
}

FW_INLINE float fw_total(const fw_f32x8 *v) {
  const fw_f32x8 a = *v + __builtin_shufflevector(*v, *v, 4, 5, 6, 7, 0, 1, 2, 3);
  const fw_f32x8 b = a + __builtin_shufflevector(a, a, 2, 3, 0, 1, 6, 7, 4, 5);
  return b[0] + b[1];
}

// Scores become probabilities, with the sign bit set where dropout takes them out; `used` gets what is left of them.
FW_INLINE void fw_softmax_row(
    float *scores, size_t count, float factor, const uint32_t *bits, const fw_dropout *dropout, float *used) {
  const fw_i32x8 lane = {0, 1, 2, 3, 4, 5, 6, 7};
  const size_t pitch = fw_padded(count);
  fw_f32x8 v, peak = (fw_f32x8){0} - __builtin_inff();
  // Lanes beyond the row are made to count for nothing.
  memcpy(&v, scores + pitch - 8, sizeof v);
  v = FW_CHOOSE(8, lane < (int32_t)(8 + count - pitch), v, peak);
  memcpy(scores + pitch - 8, &v, sizeof v);
  for (size_t j = 0; j < pitch; j += 8) {
    memcpy(&v, scores + j, sizeof v);
    peak = FW_CHOOSE(8, v > peak, v, peak);
  }
  const float offset = fw_largest(&peak) * factor;
  fw_f32x8 sum = {0};
  for (size_t j = 0; j < pitch; j += 8) {
    memcpy(&v, scores + j, sizeof v);
    v = v * factor - offset;
    fw_exp8(&v);
    memcpy(scores + j, &v, sizeof v);
    sum += v;
  }
  const float inverse = 1 / fw_total(&sum);
  for (size_t j = 0; j < pitch; j += 8) {
    memcpy(&v, scores + j, sizeof v);
    v = v * inverse;
    if (bits) {
      fw_u32x8 word;
      memcpy(&word, bits + j, sizeof word);
      const fw_i32x8 keep = word >= dropout->threshold;
      const fw_f32x8 left = (fw_f32x8)((fw_i32x8)(v * dropout->scale) & keep);
      memcpy(used + j, &left, sizeof left);
      v = (fw_f32x8)((fw_i32x8)v | (~keep & INT32_MIN));
    }
    memcpy(scores + j, &v, sizeof v);
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

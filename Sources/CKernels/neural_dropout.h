// The dropout loop, shared by the passes that end in one.
#pragma once

#include "NeuralKernels.h"
#include "neural_random.h"

#include <string.h>

// A block is what eight counters give: 32 words, two elements to a word.
enum { BLOCK = 64, GROUP = 16 };

typedef struct {
  fw_u32x16 bits[BLOCK / GROUP];  // 16 random bits in the low half of each lane
} block_bits;

// Counter: (block's first counter and lane, example, step, stream | layer | high bits of example). Eight consecutive
// counters belong to a block.
FW_INLINE void draw(block_bits *out, uint64_t block, uint64_t example, const fw_dropout *dropout) {
  const fw_u64x8 lane = {0, 1, 2, 3, 4, 5, 6, 7};
  const fw_u64x8 zero = {0};
  fw_u64x8 c[4];
  c[0] = lane + block * 8;
  c[1] = zero + (uint32_t)example;
  c[2] = zero + dropout->step;
  c[3] = zero + (uint32_t)(FW_STREAM_DROPOUT | (dropout->layer & 0xFFF) << 12 | (uint32_t)(example >> 32 & 0xFFF));
  fw_philox_rounds(c, dropout->seed);
  const fw_u32x16 first = FW_INTERLEAVE(c[0], c[1]), second = FW_INTERLEAVE(c[2], c[3]);
  out->bits[0] = first & 0xFFFFu;
  out->bits[1] = first >> 16;
  out->bits[2] = second & 0xFFFFu;
  out->bits[3] = second >> 16;
}

FW_INLINE void drop_block(
    const float *src, float *dst, size_t count, bool rectify, const block_bits *random, uint32_t threshold,
    float scale) {
  uint32_t bits[BLOCK];
  memcpy(bits, random, sizeof bits);
  // src and dst are the same or do not overlap: nothing is carried from one element to another.
#pragma clang loop vectorize(assume_safety)
  for (size_t i = 0; i < count; i++) {
    float value = src[i];
    if (rectify) value = value < 0 ? 0 : value;  // a NaN stays one, as a sign of divergence
    value *= scale;
    dst[i] = bits[i] >= threshold ? value : 0;
  }
}

FW_INLINE void drop(
    const float *src, float *dst, size_t examples, size_t count, uint64_t first_example, bool rectify,
    const fw_dropout *dropout) {
  const uint32_t threshold = dropout->threshold;
  const float scale = dropout->scale;
  block_bits random;
  for (size_t example = 0; example < examples; example++) {
    size_t i = 0;
    for (; i + BLOCK <= count; i += BLOCK) {
      draw(&random, i / BLOCK, first_example + example, dropout);
      drop_block(src + i, dst + i, BLOCK, rectify, &random, threshold, scale);
    }
    if (i < count) {
      draw(&random, i / BLOCK, first_example + example, dropout);
      drop_block(src + i, dst + i, count - i, rectify, &random, threshold, scale);
    }
    src += count;
    dst += count;
  }
}

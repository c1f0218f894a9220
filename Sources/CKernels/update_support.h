#pragma once

// What the update kernels share: run-time choice of instruction set, and the sum of several gradients.

#include <stddef.h>

// Products and sums are rounded separately, on every instruction set. In force to the end of the including file.
#pragma STDC FP_CONTRACT OFF

// One compiled version per instruction set, chosen when the program is loaded. Elsewhere the baseline is used (on arm64
// it has the full vector unit anyway).
#if defined(__x86_64__) && defined(__linux__)
#define FW_DISPATCHED __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define FW_DISPATCHED
#endif

#define FW_INLINE static inline __attribute__((always_inline))

// Gradients of up to this many sources are read where they lie, in the pass that uses them. More are first summed into
// a block that stays in the first-level cache: beyond four, the hardware loses track of so many streams next to those
// of the state.
#define FW_DIRECT_SOURCES 4

// Floats in such a block: 4 KiB.
#define FW_BLOCK 1024

// The pointers of up to FW_DIRECT_SOURCES gradients; those beyond `count` repeat the first and are not read.
struct fw_sources {
  const float *s0, *s1, *s2, *s3;
};

FW_INLINE struct fw_sources fw_load_sources(const float *const *sources, size_t count, size_t offset) {
  struct fw_sources s;
  s.s0 = sources[0] + offset;
  s.s1 = count > 1 ? sources[1] + offset : s.s0;
  s.s2 = count > 2 ? sources[2] + offset : s.s0;
  s.s3 = count > 3 ? sources[3] + offset : s.s0;
  return s;
}

// The tree over 1 to 4 sources at one element. `count` is a literal where this is inlined, and the branches vanish.
FW_INLINE float fw_tree_at(struct fw_sources s, size_t count, size_t i) {
  if (count == 1) return s.s0[i];
  if (count == 2) return s.s0[i] + s.s1[i];
  if (count == 3) return (s.s0[i] + s.s1[i]) + s.s2[i];
  return (s.s0[i] + s.s1[i]) + (s.s2[i] + s.s3[i]);
}

// Calls LOOP(sources, source_count, begin, length) for pieces that cover [0, count): `sources` point at element `begin`
// of the gradients, and `source_count` is a literal from 1 to 4. More gradients than that are summed block by block
// into one source.
#define FW_FOR_SOURCES(gradients, gradient_count, count, LOOP)                                        \
  do {                                                                                                \
    if ((gradient_count) <= FW_DIRECT_SOURCES) {                                                      \
      struct fw_sources sources = fw_load_sources((gradients), (gradient_count), 0);                  \
      switch (gradient_count) {                                                                       \
        case 1: LOOP(sources, 1, 0, (count)); break;                                                  \
        case 2: LOOP(sources, 2, 0, (count)); break;                                                  \
        case 3: LOOP(sources, 3, 0, (count)); break;                                                  \
        default: LOOP(sources, 4, 0, (count)); break;                                                 \
      }                                                                                               \
    } else {                                                                                          \
      float block[FW_BLOCK];                                                                          \
      for (size_t begin = 0; begin < (count); begin += FW_BLOCK) {                                    \
        size_t length = (count) - begin < FW_BLOCK ? (count) - begin : FW_BLOCK;                      \
        fw_sum_block(block, (gradients), (gradient_count), begin, length);                            \
        struct fw_sources sources = {block, block, block, block};                                     \
        LOOP(sources, 1, begin, length);                                                              \
      }                                                                                               \
    }                                                                                                 \
  } while (0)

// destination[i] = the tree over sources[...][offset + i], for i < length ≤ FW_BLOCK; at least one source.
void fw_sum_block(float *destination, const float *const *sources, size_t source_count, size_t offset, size_t length);

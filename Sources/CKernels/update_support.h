#pragma once

// What the update kernels share: run-time choice of instruction set, and the sum of several gradients.

#include <stddef.h>
#include <stdint.h>

#include "UpdateKernels.h"

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

// Floats that a loop below handles between two rounds of prefetching: four cache lines of each stream.
#define FW_CHUNK 64

// How far ahead they are fetched, in floats: 2 KiB. A pass reads and writes up to eight streams, more than the
// hardware's prefetchers follow, and each of them stops at every page; fetching ahead helps where the state
// comes from beyond the second-level cache.
#define FW_AHEAD 512

// Fetches the chunk of a stream that lies FW_AHEAD floats ahead, to be written. Beyond the end of a stream this has
// no effect.
FW_INLINE void fw_fetch(const float *stream) {
  for (size_t i = 0; i < FW_CHUNK; i += 16) __builtin_prefetch(stream + FW_AHEAD + i, 1, 3);
}

// The same for gradients, which are only read: asking to write would take them from their owner's cache.
FW_INLINE void fw_fetch_sources(struct fw_sources s, size_t count) {
  for (size_t i = 0; i < FW_CHUNK; i += 16) {
    __builtin_prefetch(s.s0 + FW_AHEAD + i, 0, 3);
    if (count > 1) __builtin_prefetch(s.s1 + FW_AHEAD + i, 0, 3);
    if (count > 2) __builtin_prefetch(s.s2 + FW_AHEAD + i, 0, 3);
    if (count > 3) __builtin_prefetch(s.s3 + FW_AHEAD + i, 0, 3);
  }
}

FW_INLINE struct fw_sources fw_advance(struct fw_sources s, size_t offset) {
  s.s0 += offset, s.s1 += offset, s.s2 += offset, s.s3 += offset;
  return s;
}

// One cache line; several instructions where registers are narrower.
typedef float fw_line __attribute__((vector_size(64)));
typedef float fw_unaligned_line __attribute__((vector_size(64), aligned(4)));
#define FW_LINE (sizeof(fw_line) / sizeof(float))

// Copies whole lines to a 64-byte boundary, past the caches: the lines are not read first, and not kept.
FW_INLINE void fw_stream_lines(float *restrict destination, const float *restrict source, size_t count) {
  for (size_t i = 0; i < count; i += FW_LINE) {
    __builtin_nontemporal_store(*(const fw_unaligned_line *)(source + i), (fw_line *)(destination + i));
  }
}

// Such stores are ordered after nothing; whoever is told of them by a release must find them done.
FW_INLINE void fw_stream_fence(void) {
#if defined(__x86_64__)
  __builtin_ia32_sfence();
#endif
  // Elsewhere a release waits for them as for all others.
}

// The bits of a line's numbers.
typedef uint32_t fw_line_bits __attribute__((vector_size(64)));
typedef uint32_t fw_unaligned_line_bits __attribute__((vector_size(64), aligned(4), may_alias));

// Bits of the numbers that are not finite: a number without its sign is one of these if it is as large or larger.
#define FW_INFINITY_BITS 0x7F800000u

// largest[...] = the larger of it and the bits of `values` without their signs. One accumulator for all chunks of a
// pass: what it takes is hidden behind the memory that the pass waits for.
FW_INLINE void fw_watch(fw_line_bits *largest, const float *values, size_t count) {
  const fw_line_bits magnitude = {0};
  size_t i = 0;
  for (; i + FW_LINE <= count; i += FW_LINE) {
    fw_line_bits bits = *(const fw_unaligned_line_bits *)(values + i) & (magnitude + 0x7FFFFFFFu);
    *largest = __builtin_elementwise_max(*largest, bits);
  }
  for (; i < count; i++) {
    uint32_t bits = *(const uint32_t __attribute__((may_alias)) *)(values + i) & 0x7FFFFFFFu;
    (*largest)[0] = (*largest)[0] > bits ? (*largest)[0] : bits;
  }
}

FW_INLINE int fw_is_nonfinite(const fw_line_bits *largest) {
  uint32_t found = 0;
  for (size_t i = 0; i < FW_LINE; i++) found |= (*largest)[i] >= FW_INFINITY_BITS;
  return found != 0;
}

// A pass that writes y: calls LOOP(target, sources, source_count, begin, length) for chunks that together cover
// [0, n_elements), and FETCH(begin) before each, with `target` being where y goes, `source_count` a literal from 1 to
// 4, and `sources` the pointers to read, already advanced to `begin`. FETCH is for all streams but the gradients and y.
// More gradients than four are summed first, block by block. `gradients` is a struct fw_gradients.
//
// Where y is to be streamed, chunks of it are written to a block in the first-level cache and go from there to memory.
// Chunk by chunk: in larger blocks the stores come in bursts, for which the processor has too few buffers, and nothing
// is gained over ordinary stores.
#define FW_UPDATE(gradients, y, n_elements, LOOP, FETCH)                                                              \
  do {                                                                                                                \
    const int stream = (gradients).stream_y && (uintptr_t)(y) % sizeof(fw_line) == 0;                                 \
    _Alignas(64) float block[FW_CHUNK];                                                                               \
    fw_line_bits largest = {0};                                                                                       \
    if ((gradients).count <= FW_DIRECT_SOURCES) {                                                                     \
      struct fw_sources all = fw_load_sources((gradients).sources, (gradients).count, (gradients).offset);            \
      switch ((gradients).count) {                                                                                    \
        case 1: FW_FOR_CHUNKS(all, 1, y, 0, (n_elements), LOOP, FETCH); break;                                        \
        case 2: FW_FOR_CHUNKS(all, 2, y, 0, (n_elements), LOOP, FETCH); break;                                        \
        case 3: FW_FOR_CHUNKS(all, 3, y, 0, (n_elements), LOOP, FETCH); break;                                        \
        default: FW_FOR_CHUNKS(all, 4, y, 0, (n_elements), LOOP, FETCH); break;                                       \
      }                                                                                                               \
    } else {                                                                                                          \
      float summed[FW_BLOCK];                                                                                         \
      for (size_t start = 0; start < (n_elements); start += FW_BLOCK) {                                               \
        size_t size = (n_elements) - start < FW_BLOCK ? (n_elements) - start : FW_BLOCK;                              \
        fw_sum_block(summed, (gradients).sources, (gradients).count, (gradients).offset + start, size);               \
        struct fw_sources all = {summed, summed, summed, summed};                                                     \
        FW_FOR_CHUNKS(all, 1, y, start, size, LOOP, FETCH);                                                           \
      }                                                                                                               \
    }                                                                                                                 \
    if (stream) fw_stream_fence();                                                                                    \
    if ((gradients).found_nonfinite && fw_is_nonfinite(&largest)) *(gradients).found_nonfinite = true;                \
  } while (0)

// Whole chunks have a length known to the compiler; the rest follows.
#define FW_FOR_CHUNKS(all, n, y, start, size, LOOP, FETCH)                                                            \
  do {                                                                                                                \
    size_t done = 0;                                                                                                  \
    for (; done + FW_CHUNK <= (size); done += FW_CHUNK) {                                                             \
      struct fw_sources sources = fw_advance((all), done);                                                            \
      fw_fetch_sources(sources, (n));                                                                                 \
      FETCH((start) + done);                                                                                          \
      FW_FOR_CHUNK(y, sources, (n), (start) + done, FW_CHUNK, LOOP);                                                  \
    }                                                                                                                 \
    FW_FOR_CHUNK(y, fw_advance((all), done), (n), (start) + done, (size) - done, LOOP);                               \
  } while (0)

// One chunk, or the rest.
#define FW_FOR_CHUNK(y, sources, n, begin, length, LOOP)                                                              \
  do {                                                                                                                \
    const int streamed = stream && (length) == FW_CHUNK;                                                              \
    float *target = streamed ? block : (y) + (begin);                                                                 \
    if (!streamed) fw_fetch((y) + (begin));                                                                           \
    LOOP(target, sources, n, begin, length);                                                                          \
    fw_watch(&largest, target, length);                                                                               \
    if (streamed) fw_stream_lines((y) + (begin), block, FW_CHUNK);                                                    \
  } while (0)

// destination[i] = the tree over sources[...][offset + i], for i < length ≤ FW_BLOCK; at least one source.
void fw_sum_block(float *destination, const float *const *sources, size_t source_count, size_t offset, size_t length);

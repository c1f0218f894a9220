// Philox4x32-10, eight counters at a time in the low halves of 64-bit lanes: a round is then two widening
// multiplications, two shifts and four exclusive-ors per vector, and no shuffles.
#pragma once

#include <stdint.h>

typedef uint64_t fw_u64x8 __attribute__((vector_size(64)));
typedef uint32_t fw_u32x16 __attribute__((vector_size(64)));
typedef int32_t fw_i32x16 __attribute__((vector_size(64)));
typedef float fw_f32x16 __attribute__((vector_size(64)));

// mask ? a : b, lane by lane, of float vectors; masks are what comparisons give: all bits or none.
#define FW_SELECT(mask, a, b) ((fw_f32x16)(((mask) & (fw_i32x16)(a)) | (~(mask) & (fw_i32x16)(b))))

#define FW_INLINE static inline __attribute__((always_inline))

#if defined(__x86_64__)
#define FW_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define FW_CLONES
#endif

enum {
  FW_PHILOX_M0 = 0xD2511F53u,
  FW_PHILOX_M1 = 0xCD9E8D57u,
  FW_PHILOX_W0 = 0x9E3779B9u,
  FW_PHILOX_W1 = 0xBB67AE85u,
  FW_PHILOX_ROUNDS = 10,
};

// Streams of different purposes differ in the top byte of the counter's last word.
enum { FW_STREAM_DROPOUT = 1u << 24, FW_STREAM_INITIALIZATION = 2u << 24, FW_STREAM_NORMAL = 3u << 24 };

// c[0..3] hold the counters on entry and the random words on return; the high halves of the lanes are then garbage.
FW_INLINE void fw_philox_rounds(fw_u64x8 c[4], uint64_t seed) {
  const uint64_t low = 0xFFFFFFFFu;
  uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
  for (unsigned round = 0; round < FW_PHILOX_ROUNDS; round++) {
    fw_u64x8 p0 = (c[0] & low) * (uint64_t)FW_PHILOX_M0;
    fw_u64x8 p1 = (c[2] & low) * (uint64_t)FW_PHILOX_M1;
    c[0] = (p1 >> 32) ^ c[1] ^ (uint64_t)k0;
    c[1] = p1;
    c[2] = (p0 >> 32) ^ c[3] ^ (uint64_t)k1;
    c[3] = p0;
    k0 += FW_PHILOX_W0;
    k1 += FW_PHILOX_W1;
  }
}

// Word a in the even lanes, word b in the odd ones (on a little-endian machine).
// A macro: passing vectors to a function, even an inlined one, draws a warning about the calling convention.
#define FW_INTERLEAVE(a, b) ((fw_u32x16)(((a) & 0xFFFFFFFFu) | ((b) << 32)))

// Vectors of floats for the transformer's loops: reading and writing both storage types, and exp.
//
// Functions take vectors by pointer: passed by value, even to an inlined function, they draw a warning about the
// calling convention.
#pragma once

#include "AttentionKernels.h"
#include "neural_random.h"

#include <string.h>

typedef float fw_f32x8 __attribute__((vector_size(32)));
typedef int32_t fw_i32x8 __attribute__((vector_size(32)));
typedef uint32_t fw_u32x8 __attribute__((vector_size(32)));
typedef uint16_t fw_u16x8 __attribute__((vector_size(16)));
typedef uint16_t fw_u16x16 __attribute__((vector_size(32)));

#define FW_UNROLL _Pragma("clang loop unroll(full)")

// By levels and not by single features: the middle one brings fused multiplication and addition, the upper one vectors
// of all lengths and 16-bit integers in them.
#if defined(__x86_64__)
#define FW_LEVELS __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define FW_LEVELS
#endif

/// Whole vectors of 8.
FW_INLINE size_t fw_padded(size_t count) { return (count + 7) / 8 * 8; }

// Nearest, ties to even; a NaN stays one.
FW_INLINE uint16_t fw_bfloat16_of(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  if ((bits & 0x7FFFFFFFu) > 0x7F800000u) return (uint16_t)(bits >> 16 | 0x40);
  return (uint16_t)((bits + 0x7FFFu + (bits >> 16 & 1)) >> 16);
}

FW_INLINE float fw_float_of(uint16_t bits) {
  const uint32_t wide = (uint32_t)bits << 16;
  float value;
  memcpy(&value, &wide, sizeof value);
  return value;
}

// mask ? a : b, lane by lane.
#define FW_CHOOSE(LANES, mask, a, b) \
  ((fw_f32x##LANES)(((mask) & (fw_i32x##LANES)(a)) | (~(mask) & (fw_i32x##LANES)(b))))

// `count` elements, at most a vector's; the lanes of others are zero.
#define FW_LOAD_UP_TO16(to, array, storage, index, count)       \
  do {                                                          \
    if ((count) >= 16) {                                        \
      fw_load16(to, array, storage, index);                     \
    } else {                                                    \
      fw_load_part16(to, array, storage, index, count);         \
    }                                                           \
  } while (0)

#define FW_STORE_UP_TO16(from, array, storage, index, count)    \
  do {                                                          \
    if ((count) >= 16) {                                        \
      fw_store16(from, array, storage, index);                  \
    } else {                                                    \
      fw_store_part16(from, array, storage, index, count);      \
    }                                                           \
  } while (0)

#define FW_DEFINE_VECTOR(LANES)                                                                                       \
  FW_INLINE void fw_load##LANES(fw_f32x##LANES *to, const void *array, fw_storage storage, size_t index) {            \
    if (storage == FW_BFLOAT16) {                                                                                     \
      fw_u16x##LANES half;                                                                                            \
      memcpy(&half, (const uint16_t *)array + index, sizeof half);                                                    \
      *to = (fw_f32x##LANES)(__builtin_convertvector(half, fw_u32x##LANES) << 16);                                    \
    } else {                                                                                                          \
      memcpy(to, (const float *)array + index, sizeof *to);                                                           \
    }                                                                                                                 \
  }                                                                                                                   \
  FW_INLINE void fw_store##LANES(const fw_f32x##LANES *from, void *array, fw_storage storage, size_t index) {         \
    if (storage == FW_BFLOAT16) {                                                                                     \
      const fw_u32x##LANES bits = (fw_u32x##LANES)*from;                                                              \
      const fw_u32x##LANES nan = (fw_u32x##LANES)(*from != *from);                                \
      const fw_u32x##LANES rounded = bits + 0x7FFFu + (bits >> 16 & 1);                                               \
      const fw_u16x##LANES half = __builtin_convertvector(                                                            \
          ((rounded & ~nan) | ((bits | 0x400000u) & nan)) >> 16, fw_u16x##LANES);                                     \
      memcpy((uint16_t *)array + index, &half, sizeof half);                                                          \
    } else {                                                                                                          \
      memcpy((float *)array + index, from, sizeof *from);                                                             \
    }                                                                                                                 \
  }                                                                                                                   \
  /* Fewer than a whole vector; the other lanes are zero. */                                                          \
  FW_INLINE void fw_load_part##LANES(                                                                                 \
      fw_f32x##LANES *to, const void *array, fw_storage storage, size_t index, size_t count) {                        \
    float lanes[LANES] = {0};                                                                                         \
    _Pragma("clang loop vectorize(disable) unroll(disable)") for (size_t i = 0; i < count; i++) {                     \
      lanes[i] = storage == FW_BFLOAT16 ? fw_float_of(((const uint16_t *)array)[index + i])                           \
                                        : ((const float *)array)[index + i];                                          \
    }                                                                                                                 \
    memcpy(to, lanes, sizeof *to);                                                                                    \
  }                                                                                                                   \
  FW_INLINE void fw_store_part##LANES(                                                                                \
      const fw_f32x##LANES *from, void *array, fw_storage storage, size_t index, size_t count) {                      \
    float lanes[LANES];                                                                                               \
    memcpy(lanes, from, sizeof lanes);                                                                                \
    _Pragma("clang loop vectorize(disable) unroll(disable)") for (size_t i = 0; i < count; i++) {                     \
      if (storage == FW_BFLOAT16) {                                                                                   \
        ((uint16_t *)array)[index + i] = fw_bfloat16_of(lanes[i]);                                                    \
      } else {                                                                                                        \
        ((float *)array)[index + i] = lanes[i];                                                                       \
      }                                                                                                               \
    }                                                                                                                 \
  }                                                                                                                   \
  /* x = exp(x) for x in -87.33 ... 87, within 1.5 units in the last place; beyond, the range's end: neither zero */  \
  /* nor infinity comes out, nor a number so small that arithmetic with it is slow. A NaN stays one.              */  \
  /*                                                                                                              */  \
  /* exp(x) = 2^n exp(r), n = round(x / ln 2), r = x - n ln 2, |r| <= ln 2 / 2. Adding 1.5 * 2^23 rounds, and     */  \
  /* leaves n in the low bits. n ln 2 is subtracted in two parts, the first with so few bits that the product is  */  \
  /* exact. exp(r) = 1 + r + r^2 q(r), q a minimax polynomial: its relative error is 3e-9.                        */  \
  FW_INLINE void fw_exp##LANES(fw_f32x##LANES *x) {                                                                   \
    typedef fw_f32x##LANES vector;                                                                                    \
    typedef fw_i32x##LANES integers;                                                                                  \
    const float least = -87.3365f, most = 87.0f, shift = 12582912.0f;                                                 \
    const float c0 = 0.49999994f, c1 = 0.16666521f, c2 = 0.041668389f, c3 = 0.0083687454f, c4 = 0.0013814541f;        \
    vector v = *x;                                                                                                    \
    v = FW_CHOOSE(LANES, v < least, (vector){0} + least, v);                                                          \
    v = FW_CHOOSE(LANES, v > most, (vector){0} + most, v);                                                            \
    const vector shifted = v * 1.44269504f + shift, n = shifted - shift;                                              \
    vector r = v - n * 0.693359375f;                                                                                  \
    r = r + n * 2.12194440e-4f;                                                                                       \
    vector q = r * c4 + c3;                                                                                           \
    q = q * r + c2;                                                                                                   \
    q = q * r + c1;                                                                                                   \
    q = q * r + c0;                                                                                                   \
    const vector power = r * r * q + r + 1.0f;                                                                        \
    *x = (vector)((integers)power + ((integers)shifted << 23));                                                       \
  }

FW_DEFINE_VECTOR(8)
FW_DEFINE_VECTOR(16)

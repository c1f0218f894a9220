// 16 bfloat16 values between memory and registers.
#pragma once

#include "neural_random.h"

#include <string.h>

typedef uint16_t fw_u16x16 __attribute__((vector_size(32)));

// *to = the float32 values of 16 bfloat16 ones, which are their upper halves.
FW_INLINE void fw_load_bfloat16(fw_f32x16 *to, const uint16_t *from) {
  fw_u16x16 halves;
  memcpy(&halves, from, sizeof halves);
  *to = (fw_f32x16)(__builtin_convertvector(halves, fw_u32x16) << 16);
}

// To the nearest bfloat16, of two equally near to the even one. What is not a number stays so: rounding could carry its
// last bit out of the fraction, so its highest bit is set.
FW_INLINE void fw_store_bfloat16(uint16_t *to, const fw_f32x16 *from) {
  const fw_u32x16 bits = (fw_u32x16)*from;
  const fw_u32x16 rounded = bits + 0x7FFF + ((bits >> 16) & 1);
  const fw_u32x16 nan = (fw_u32x16)(*from != *from);
  const fw_u32x16 chosen = (nan & (bits | 0x400000)) | (~nan & rounded);
  const fw_u16x16 halves = __builtin_convertvector(chosen >> 16, fw_u16x16);
  memcpy(to, &halves, sizeof halves);
}

#include "ElementwiseKernels.h"

#include "NeuralKernels.h"
#include "neural_bfloat16.h"

// Loops over bfloat16 go 16 elements at a time, and through a register's worth of memory for what is left over.

#define FW_BFLOAT16_LOOP(count, sources, body)                      \
  for (size_t i = 0; i < (count); i += 16) {                        \
    const size_t left = (count) - i < 16 ? (count) - i : 16;        \
    sources;                                                        \
    body;                                                           \
  }

// A partial vector is read and written through a copy, so that nothing behind the array is touched.
FW_INLINE void load_some(fw_f32x16 *to, const uint16_t *from, size_t count) {
  if (count == 16) {
    fw_load_bfloat16(to, from);
    return;
  }
  uint16_t copy[16] = {0};
  memcpy(copy, from, count * sizeof *copy);
  fw_load_bfloat16(to, copy);
}

FW_INLINE void store_some(uint16_t *to, const fw_f32x16 *from, size_t count) {
  if (count == 16) {
    fw_store_bfloat16(to, from);
    return;
  }
  uint16_t copy[16];
  fw_store_bfloat16(copy, from);
  memcpy(to, copy, count * sizeof *copy);
}

FW_CLONES static void sum_float32(const float *a, const float *b, float *dst, size_t count) {
#pragma clang loop vectorize(assume_safety)
  for (size_t i = 0; i < count; i++) dst[i] = a[i] + b[i];
}

FW_CLONES static void sum_bfloat16(const uint16_t *a, const uint16_t *b, uint16_t *dst, size_t count) {
  FW_BFLOAT16_LOOP(count, fw_f32x16 x; fw_f32x16 y; load_some(&x, a + i, left); load_some(&y, b + i, left), {
    const fw_f32x16 result = x + y;
    store_some(dst + i, &result, left);
  })
}

void fw_sum(fw_storage storage, const void *a, const void *b, void *dst, size_t count) {
  if (storage == FW_BFLOAT16) {
    sum_bfloat16(a, b, dst, count);
  } else {
    sum_float32(a, b, dst, count);
  }
}

FW_CLONES static void scale_float32(const float *src, float factor, float *dst, size_t count) {
#pragma clang loop vectorize(assume_safety)
  for (size_t i = 0; i < count; i++) dst[i] = src[i] * factor;
}

FW_CLONES static void scale_bfloat16(const uint16_t *src, float factor, uint16_t *dst, size_t count) {
  FW_BFLOAT16_LOOP(count, fw_f32x16 x; load_some(&x, src + i, left), {
    const fw_f32x16 result = x * factor;
    store_some(dst + i, &result, left);
  })
}

void fw_scale(fw_storage storage, const void *src, float factor, void *dst, size_t count) {
  if (storage == FW_BFLOAT16) {
    scale_bfloat16(src, factor, dst, count);
  } else {
    scale_float32(src, factor, dst, count);
  }
}

FW_CLONES static void rectify_bfloat16(const uint16_t *src, uint16_t *dst, size_t count) {
  // The sign bit decides; a NaN with a sign would become 0, so it is let through by its size.
#pragma clang loop vectorize(assume_safety)
  for (size_t i = 0; i < count; i++) {
    const uint16_t value = src[i];
    dst[i] = value > 0x8000 && value <= 0xFF80 ? 0 : value;
  }
}

void fw_rectify(fw_storage storage, const void *src, void *dst, size_t count) {
  if (storage == FW_BFLOAT16) {
    rectify_bfloat16(src, dst, count);
  } else {
    fw_relu_forward(src, dst, count);
  }
}

FW_CLONES static void rectify_backward_bfloat16(const uint16_t *dst, uint16_t *diff, size_t count, float scale) {
  FW_BFLOAT16_LOOP(count, fw_f32x16 y; fw_f32x16 d; load_some(&y, dst + i, left); load_some(&d, diff + i, left), {
    const fw_f32x16 result = (fw_f32x16)((y > 0.0f) & (fw_i32x16)(d * scale));
    store_some(diff + i, &result, left);
  })
}

void fw_rectify_backward(fw_storage storage, const void *dst, void *diff, size_t count, float scale) {
  if (storage == FW_BFLOAT16) {
    rectify_backward_bfloat16(dst, diff, count, scale);
  } else {
    fw_relu_backward(dst, diff, count, scale);
  }
}

#define FW_MIRROR(type)                                                    \
  do {                                                                     \
    for (size_t row = 0; row < rows; row++) {                              \
      type *first = (type *)data + row * width, *last = first + width - 1; \
      for (; first < last; first++, last--) {                              \
        const type kept = *first;                                          \
        *first = *last;                                                    \
        *last = kept;                                                      \
      }                                                                    \
    }                                                                      \
  } while (0)

void fw_mirror_rows(fw_storage storage, void *data, size_t rows, size_t width) {
  if (width < 2) return;
  if (storage == FW_BFLOAT16) {
    FW_MIRROR(uint16_t);
  } else {
    FW_MIRROR(uint32_t);
  }
}

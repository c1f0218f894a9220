#include "BFloat16Kernels.h"

#include "neural_bfloat16.h"

enum { LANES = 16 };

// What a loop does to each vector.
typedef enum { COPY, ADD, SCALE, RELU, RELU_BACKWARD } operation;

FW_INLINE void load(fw_f32x16 *to, fw_storage storage, const void *from, size_t index) {
  if (storage == FW_FLOAT32) {
    memcpy(to, (const float *)from + index, sizeof *to);
  } else {
    fw_load_bfloat16(to, (const uint16_t *)from + index);
  }
}

FW_INLINE void store(void *to, fw_storage storage, size_t index, const fw_f32x16 *from) {
  if (storage == FW_FLOAT32) {
    memcpy((float *)to + index, from, sizeof *from);
  } else {
    fw_store_bfloat16((uint16_t *)to + index, from);
  }
}

FW_INLINE void vector(
    operation kind, fw_storage in, fw_storage out, const void *a, const void *b, float factor, void *dst,
    size_t index) {
  const fw_f32x16 zero = {0};
  fw_f32x16 value, other;
  load(&value, in, a, index);
  if (kind == ADD || kind == RELU_BACKWARD) load(&other, in, b, index);
  if (kind == ADD) value += other;
  if (kind == SCALE) value *= factor;
  if (kind == RELU) value = FW_SELECT(value < zero, zero, value);
  if (kind == RELU_BACKWARD) value = FW_SELECT(other > zero, value * factor, zero);
  store(dst, out, index, &value);
}

FW_INLINE void loop(
    operation kind, fw_storage in, fw_storage out, const void *a, const void *b, float factor, void *dst,
    size_t count) {
  size_t i = 0;
  for (; i + LANES <= count; i += LANES) vector(kind, in, out, a, b, factor, dst, i);
  if (i == count) return;
  // The rest in a vector of its own.
  const size_t rest = count - i, in_size = in == FW_FLOAT32 ? 4 : 2, out_size = out == FW_FLOAT32 ? 4 : 2;
  float first[LANES] = {0}, second[LANES] = {0};
  memcpy(first, (const char *)a + i * in_size, rest * in_size);
  if (b) memcpy(second, (const char *)b + i * in_size, rest * in_size);
  vector(kind, in, out, first, second, factor, first, 0);
  memcpy((char *)dst + i * out_size, first, rest * out_size);
}

FW_CLONES void fw_bfloat16_from_float32(const float *src, uint16_t *dst, size_t count) {
  loop(COPY, FW_FLOAT32, FW_BFLOAT16, src, NULL, 1, dst, count);
}

FW_CLONES void fw_float32_from_bfloat16(const uint16_t *src, float *dst, size_t count) {
  loop(COPY, FW_BFLOAT16, FW_FLOAT32, src, NULL, 1, dst, count);
}

#define FW_EITHER(kind, a, b, factor) \
  if (storage == FW_FLOAT32) { \
    loop(kind, FW_FLOAT32, FW_FLOAT32, a, b, factor, dst, count); \
  } else { \
    loop(kind, FW_BFLOAT16, FW_BFLOAT16, a, b, factor, dst, count); \
  }

FW_CLONES void fw_tensor_add(fw_storage storage, const void *a, const void *b, void *dst, size_t count) {
  FW_EITHER(ADD, a, b, 1)
}

FW_CLONES void fw_tensor_scale(fw_storage storage, const void *src, float factor, void *dst, size_t count) {
  FW_EITHER(SCALE, src, NULL, factor)
}

FW_CLONES void fw_tensor_relu(fw_storage storage, const void *src, void *dst, size_t count) {
  FW_EITHER(RELU, src, NULL, 1)
}

FW_CLONES void fw_tensor_relu_backward(
    fw_storage storage, const void *output, const void *diff, float factor, void *dst, size_t count) {
  FW_EITHER(RELU_BACKWARD, diff, output, factor)
}

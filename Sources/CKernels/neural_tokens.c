// Rows of tokens: a class token in front of them, one taken out, a table added to every example, and the way back.
#include "neural_lanes.h"

FW_INLINE size_t bytes(fw_storage storage) { return storage == FW_BFLOAT16 ? 2 : 4; }

void fw_tokens_prepend(
    fw_storage storage, size_t examples, size_t tokens, size_t width, const float *token, const void *src, void *dst) {
  const size_t size = bytes(storage), row = width * size;
  const char *from = src;
  char *to = dst;
  for (size_t n = 0; n < examples; n++) {
    if (storage == FW_BFLOAT16) {
      for (size_t i = 0; i < width; i++) ((uint16_t *)to)[i] = fw_bfloat16_of(token[i]);
    } else {
      memcpy(to, token, row);
    }
    memcpy(to + row, from, tokens * row);
    from += tokens * row;
    to += (1 + tokens) * row;
  }
}

void fw_tokens_prepend_backward(
    fw_storage storage, size_t examples, size_t tokens, size_t width, const void *diff, void *diff_src) {
  const size_t row = width * bytes(storage);
  const char *from = diff;
  char *to = diff_src;
  for (size_t n = 0; n < examples; n++) {
    memcpy(to, from + row, tokens * row);
    from += (1 + tokens) * row;
    to += tokens * row;
  }
}

void fw_tokens_select(
    fw_storage storage, size_t examples, size_t tokens, size_t width, size_t token, const void *src, void *dst) {
  const size_t row = width * bytes(storage);
  const char *from = (const char *)src + token * row;
  char *to = dst;
  for (size_t n = 0; n < examples; n++) memcpy(to + n * row, from + n * tokens * row, row);
}

void fw_tokens_select_backward(
    fw_storage storage, size_t examples, size_t tokens, size_t width, size_t token, const void *diff, void *diff_src) {
  const size_t row = width * bytes(storage);
  const char *from = diff;
  char *to = diff_src;
  memset(to, 0, examples * tokens * row);  // all bits zero is zero in either storage
  for (size_t n = 0; n < examples; n++) memcpy(to + (n * tokens + token) * row, from + n * row, row);
}

FW_INLINE void add_to_examples(
    fw_storage storage, size_t examples, size_t count, const void *src, const float *table, void *dst) {
  for (size_t n = 0; n < examples; n++) {
    for (size_t i = 0; i < count; i += 16) {
      fw_f32x16 x, t;
      FW_LOAD_UP_TO16(&x, src, storage, n * count + i, count - i);
      FW_LOAD_UP_TO16(&t, table, FW_FLOAT32, i, count - i);
      x += t;
      FW_STORE_UP_TO16(&x, dst, storage, n * count + i, count - i);
    }
  }
}

FW_LEVELS void fw_add_to_examples(
    fw_storage storage, size_t examples, size_t count, const void *src, const float *table, void *dst) {
  if (storage == FW_BFLOAT16) {
    add_to_examples(FW_BFLOAT16, examples, count, src, table, dst);
  } else {
    add_to_examples(FW_FLOAT32, examples, count, src, table, dst);
  }
}

// Example by example, so that memory is read in order; the sums stay in the first- or second-level cache.
FW_INLINE void sum_over_examples(
    fw_storage storage, size_t examples, size_t stride, size_t count, const void *src, float *sum) {
  memset(sum, 0, count * sizeof *sum);
  for (size_t n = 0; n < examples; n++) {
    for (size_t i = 0; i < count; i += 16) {
      fw_f32x16 x, s;
      FW_LOAD_UP_TO16(&x, src, storage, n * stride + i, count - i);
      FW_LOAD_UP_TO16(&s, sum, FW_FLOAT32, i, count - i);
      s += x;
      FW_STORE_UP_TO16(&s, sum, FW_FLOAT32, i, count - i);
    }
  }
}

FW_LEVELS void fw_sum_over_examples(
    fw_storage storage, size_t examples, size_t stride, size_t count, const void *src, float *sum) {
  if (storage == FW_BFLOAT16) {
    sum_over_examples(FW_BFLOAT16, examples, stride, count, src, sum);
  } else {
    sum_over_examples(FW_FLOAT32, examples, stride, count, src, sum);
  }
}

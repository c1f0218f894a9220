// Self-attention, head by head: the matrices of one head and whatever is computed from them stay in the first-level
// cache (17 tokens of 32: some 15 KiB), and the probabilities are all that is written for the backward pass.
//
// Dropout's mask is kept in the probabilities' sign bits, which costs the backward pass nothing, where drawing it again
// would take a seventh of its time. Queries are taken in blocks, which bounds the workspace; the gradients of keys and
// values add up over the blocks.
#include "neural_small_product.h"
#include "neural_attention_rows.h"
#include "neural_attention_softmax.h"

#include <math.h>

enum { MOST_QUERIES = 48 };  // of a block

FW_INLINE size_t block_of(const fw_attention *shape) {
  const size_t blocks = (shape->tokens + MOST_QUERIES - 1) / MOST_QUERIES;
  return blocks == 0 ? 0 : (shape->tokens + blocks - 1) / blocks;
}

// Where the parts of the workspace begin, in floats.
typedef struct {
  size_t queries, keys, values, diff;           // [tokens][width]
  size_t transposed;                            // [width][tokens]: the keys, or on the way back the values
  size_t scores, used;                          // [block][tokens]
  size_t diff_queries, diff_keys, diff_values;  // [tokens][width]; the forward pass has its output in the first
  size_t bits;                                  // [block][tokens], and what whole blocks of random bits add
  size_t count;
} layout;

static size_t take(size_t *end, size_t floats) {
  const size_t start = *end;
  *end += (floats + 15) / 16 * 16;
  return start;
}

static layout plan(const fw_attention *shape) {
  const size_t matrix = shape->tokens * fw_padded(shape->width);
  const size_t block = block_of(shape) * fw_padded(shape->tokens);
  layout l = {0};
  l.queries = take(&l.count, matrix);
  l.keys = take(&l.count, matrix);
  l.values = take(&l.count, matrix);
  l.diff = take(&l.count, matrix);
  l.transposed = take(&l.count, fw_padded(shape->width) * fw_padded(shape->tokens));
  l.scores = take(&l.count, block);
  l.used = take(&l.count, block);
  l.diff_queries = take(&l.count, matrix);
  l.diff_keys = take(&l.count, matrix);
  l.diff_values = take(&l.count, matrix);
  l.bits = take(&l.count, block_of(shape) * shape->tokens + 2 * BLOCK + 8);
  return l;
}

size_t fw_attention_probabilities(const fw_attention *shape) {
  return shape->examples * shape->heads * shape->tokens * fw_padded(shape->tokens);
}

size_t fw_attention_workspace(const fw_attention *shape) { return plan(shape).count; }

// Heads that are whole vectors wide are read and written where they are.
FW_INLINE bool in_place(const fw_attention *shape) { return shape->storage == FW_FLOAT32 && shape->width % 8 == 0; }

FW_INLINE fw_head gather(const fw_attention *shape, const void *array, size_t index, size_t stride, float *copy) {
  if (in_place(shape)) return (fw_head){(const float *)array + index, stride};
  // Two copies, so that the condition is not tested in the loop.
  if (shape->storage == FW_BFLOAT16) {
    fw_gather(array, FW_BFLOAT16, index, stride, shape->tokens, shape->width, copy);
  } else {
    fw_gather(array, FW_FLOAT32, index, stride, shape->tokens, shape->width, copy);
  }
  return (fw_head){copy, fw_padded(shape->width)};
}

// A result's place: the caller's array, or the workspace, from where `scatter` copies it.
typedef struct {
  float *values;
  size_t stride;
} target;

FW_INLINE target place(const fw_attention *shape, void *array, size_t index, size_t stride, float *copy) {
  if (in_place(shape)) return (target){(float *)array + index, stride};
  return (target){copy, fw_padded(shape->width)};
}

FW_INLINE void scatter(const fw_attention *shape, const float *copy, void *array, size_t index, size_t stride) {
  if (in_place(shape)) return;
  if (shape->storage == FW_BFLOAT16) {
    fw_scatter(copy, shape->tokens, shape->width, array, FW_BFLOAT16, index, stride);
  } else {
    fw_scatter(copy, shape->tokens, shape->width, array, FW_FLOAT32, index, stride);
  }
}

FW_LEVELS void fw_attention_forward(
    const fw_attention *shape, const void *qkv, void *dst, float *probabilities, uint64_t first_example,
    const fw_dropout *dropout, float *workspace) {
  const layout l = plan(shape);
  const size_t tokens = shape->tokens, width = shape->width, model = shape->heads * width;
  const size_t most = block_of(shape), pitch = fw_padded(tokens), columns = fw_padded(width);
  const float factor = 1 / sqrtf((float)width);
  const bool drops = dropout != NULL && dropout->threshold > 0;
  float *transposed = workspace + l.transposed;

  for (size_t n = 0; n < shape->examples; n++) {
    for (size_t head = 0; head < shape->heads; head++) {
      const size_t source = n * tokens * 3 * model + head * width, result = n * tokens * model + head * width;
      const fw_head queries = gather(shape, qkv, source, 3 * model, workspace + l.queries);
      const fw_head keys = gather(shape, qkv, source + model, 3 * model, workspace + l.keys);
      const fw_head values = gather(shape, qkv, source + 2 * model, 3 * model, workspace + l.values);
      const target out = place(shape, dst, result, model, workspace + l.diff_queries);
      fw_transpose(keys, tokens, columns, transposed);

      for (size_t first = 0; first < tokens; first += most) {
        const size_t block = tokens - first < most ? tokens - first : most;
        float *scores = probabilities ? probabilities : workspace + l.scores;
        float *used = drops ? workspace + l.used : scores;
        const uint32_t *bits = NULL;
        if (drops) {
          bits = fw_draw_range(
              (uint32_t *)(workspace + l.bits), (head * tokens + first) * tokens, block * tokens, first_example + n,
              dropout);
        }
        fw_small_product(
            block, pitch, width, queries.values + first * queries.stride, queries.stride, transposed, pitch, scores,
            pitch, false);
        if (drops) {
          fw_softmax(scores, block, tokens, factor, bits, dropout, used);
        } else {
          fw_softmax(scores, block, tokens, factor, NULL, NULL, NULL);
        }
        fw_small_product(
            block, columns, tokens, used, pitch, values.values, values.stride, out.values + first * out.stride,
            out.stride, false);
        if (probabilities) probabilities += block * pitch;
      }
      scatter(shape, out.values, dst, result, model);
    }
  }
}

FW_LEVELS void fw_attention_backward(
    const fw_attention *shape, const void *qkv, const float *probabilities, const void *diff, void *diff_qkv,
    const fw_dropout *dropout, float *workspace) {
  const layout l = plan(shape);
  const size_t tokens = shape->tokens, width = shape->width, model = shape->heads * width;
  const size_t most = block_of(shape), pitch = fw_padded(tokens), columns = fw_padded(width);
  const float factor = 1 / sqrtf((float)width);
  const bool drops = dropout != NULL && dropout->threshold > 0;
  const float scale = drops ? dropout->scale : 1;
  float *transposed = workspace + l.transposed, *scores = workspace + l.scores;

  for (size_t n = 0; n < shape->examples; n++) {
    for (size_t head = 0; head < shape->heads; head++) {
      const size_t source = n * tokens * 3 * model + head * width, result = n * tokens * model + head * width;
      const fw_head queries = gather(shape, qkv, source, 3 * model, workspace + l.queries);
      const fw_head keys = gather(shape, qkv, source + model, 3 * model, workspace + l.keys);
      const fw_head values = gather(shape, qkv, source + 2 * model, 3 * model, workspace + l.values);
      const fw_head out = gather(shape, diff, result, model, workspace + l.diff);
      const target to_queries = place(shape, diff_qkv, source, 3 * model, workspace + l.diff_queries);
      const target to_keys = place(shape, diff_qkv, source + model, 3 * model, workspace + l.diff_keys);
      const target to_values = place(shape, diff_qkv, source + 2 * model, 3 * model, workspace + l.diff_values);
      fw_transpose(values, tokens, columns, transposed);

      for (size_t first = 0; first < tokens; first += most) {
        const size_t block = tokens - first < most ? tokens - first : most;
        const float *diff_out = out.values + first * out.stride;
        const float *used = drops ? workspace + l.used : probabilities;
        // scores: the gradient of the probabilities used, then that of the scores
        fw_small_product(
            block, pitch, width, diff_out, out.stride, transposed, pitch, scores, pitch, false);
        for (size_t i = 0; i < block; i++) {
          const float *row = probabilities + i * pitch;
          if (drops) {
            fw_softmax_row_backward(
                row, scores + i * pitch, pitch, factor, true, scale, workspace + l.used + i * pitch);
          } else {
            fw_softmax_row_backward(row, scores + i * pitch, pitch, factor, false, scale, NULL);
          }
        }
        fw_small_product(
            block, columns, tokens, scores, pitch, keys.values, keys.stride,
            to_queries.values + first * to_queries.stride, to_queries.stride, false);
        fw_small_product_transposed(
            tokens, columns, block, scores, pitch, queries.values + first * queries.stride, queries.stride,
            to_keys.values, to_keys.stride, first > 0);
        fw_small_product_transposed(
            tokens, columns, block, used, pitch, diff_out, out.stride, to_values.values, to_values.stride, first > 0);
        probabilities += block * pitch;
      }
      scatter(shape, to_queries.values, diff_qkv, source, 3 * model);
      scatter(shape, to_keys.values, diff_qkv, source + model, 3 * model);
      scatter(shape, to_values.values, diff_qkv, source + 2 * model, 3 * model);
    }
  }
}

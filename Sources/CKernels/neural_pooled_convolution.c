// fw_pooled_convolution_backward for any processor, and the choice between this and its copy with AVX-512.
#include "neural_pooled_convolution.h"
#include "neural_random.h"

#include <string.h>

enum { LANES = FW_POOLED_LANES };
typedef uint8_t fw_u8x16 __attribute__((vector_size(16)));

// One element of the convolution's output gradient that is not zero, of a known channel.
typedef struct {
  float value;
  uint32_t offset;  // of the first source element it saw, in floats, in the (padded) plane
} entry;

// Entries that a channel can have, and one that a rejected entry may overwrite.
static size_t capacity_of(const fw_pooled_geometry *g) { return g->pixels + 1; }

static size_t portable_workspace(const fw_pooled_convolution *shape) {
  const fw_pooled_geometry g = fw_pooled_measure(shape);
  const size_t entries = shape->out_channels * capacity_of(&g) * (sizeof(entry) / sizeof(float));
  const size_t counts = shape->out_channels;
  const size_t drafts = g.pixels * LANES * 3;
  const size_t planes = shape->padding ? 2 * g.plane : 0;
  return (entries + 15) / 16 * 16 + (counts + 15) / 16 * 16 + drafts + planes;
}

// What list_entries works on for one block of channels: an entry, and whether it counts, for each pooled element.
typedef struct {
  entry *entries;    // [pixels][16]
  uint32_t *counts;  // [pixels][16], 0 or 1
} draft;

// What the example will need next, to be fetched into the second-level cache while its entries are listed: the entries
// visit the source in no order that the processor would foresee.
typedef struct {
  const float *source, *target;  // target may be NULL
  size_t next, count;            // floats
} lookahead;

FW_INLINE void fetch_ahead(lookahead *ahead) {
  enum { LINE = 16, LINES = 4 };
  if (ahead->next >= ahead->count) return;
  for (size_t line = 0; line < LINES; line++) {
    __builtin_prefetch(ahead->source + ahead->next + line * LINE, 0, 2);
    if (ahead->target) __builtin_prefetch(ahead->target + ahead->next + line * LINE, 1, 2);
  }
  ahead->next += LINES * LINE;
}

FW_INLINE void draft_entries(
    const fw_pooled_geometry *g, const float *diff, const float *dst, const uint8_t *index, bool rectify, float scale,
    const draft *out, lookahead *ahead) {
  const int32_t row_step = (int32_t)(g->padded_width * LANES);
  const fw_f32x16 zero = {0};
  size_t pixel = 0;
  for (size_t row = 0; row < g->rows; row++) {
    for (size_t column = 0; column < g->columns; column++, pixel++) {
      fetch_ahead(ahead);
      const int32_t corner = (int32_t)((2 * row * g->padded_width + 2 * column) * LANES);
      fw_u8x16 bytes;
      memcpy(&bytes, index + pixel * LANES, sizeof bytes);
      const fw_i32x16 winner = __builtin_convertvector(bytes, fw_i32x16);
      const fw_i32x16 offset = (winner & 1) * LANES + (winner >> 1) * row_step + corner;
      const fw_f32x16 value = *(const fw_f32x16 *)(diff + pixel * LANES) * scale;
      const fw_i32x16 bits = (fw_i32x16)value;
      fw_i32x16 *const pairs = (fw_i32x16 *)(out->entries + pixel * LANES);
      pairs[0] = __builtin_shufflevector(bits, offset, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
      pairs[1] = __builtin_shufflevector(bits, offset, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
      const fw_i32x16 keeps = rectify ? *(const fw_f32x16 *)(dst + pixel * LANES) > zero : value != zero;
      *(fw_i32x16 *)(out->counts + pixel * LANES) = -keeps;
    }
  }
}

// Lists the entries of one example, channel by channel, in the order of the pooled pixels.
FW_INLINE void list_entries(
    const fw_pooled_geometry *g, size_t blocks, const float *diff, const float *dst, const uint8_t *index, bool rectify,
    float scale, const draft *scratch, entry *entries, uint32_t *counts, lookahead *ahead) {
  enum { TOGETHER = 4 };  // channels whose list ends fit in registers
  const size_t pixels = g->rows * g->columns;
  for (size_t block = 0; block < blocks; block++) {
    const size_t start = block * pixels * LANES;
    draft_entries(g, diff + start, dst + start, index + start, rectify, scale, scratch, ahead);
    for (size_t lane = 0; lane < LANES; lane += TOGETHER) {
      const size_t channel = block * LANES + lane;
      entry *ends[TOGETHER];
      for (size_t i = 0; i < TOGETHER; i++) ends[i] = entries + (channel + i) * capacity_of(g);
      for (size_t pixel = 0; pixel < pixels; pixel++) {
        for (size_t i = 0; i < TOGETHER; i++) {
          // Written always and counted only if it matters: no branch to mispredict.
          memcpy(ends[i], scratch->entries + pixel * LANES + lane + i, sizeof(entry));
          ends[i] += scratch->counts[pixel * LANES + lane + i];
        }
      }
      for (size_t i = 0; i < TOGETHER; i++) {
        counts[channel + i] = (uint32_t)(ends[i] - (entries + (channel + i) * capacity_of(g)));
      }
    }
  }
}

// diff_weights[tap][16] += sum over the entries of value * source under the tap.
FW_INLINE void accumulate_weights(
    const entry *entries, size_t count, const float *plane, size_t width, size_t kernel, float *diff_weights,
    size_t stride) {
  fw_f32x16 sums[25];
  for (size_t tap = 0; tap < kernel * kernel; tap++) sums[tap] = (fw_f32x16){0};
  for (size_t i = 0; i < count; i++) {
    const float value = entries[i].value;
    const float *source = plane + entries[i].offset;
#pragma clang loop unroll(full)
    for (size_t y = 0; y < kernel; y++) {
#pragma clang loop unroll(full)
      for (size_t x = 0; x < kernel; x++) {
        sums[y * kernel + x] += value * *(const fw_f32x16 *)(source + (y * width + x) * LANES);
      }
    }
  }
  for (size_t tap = 0; tap < kernel * kernel; tap++) *(fw_f32x16 *)(diff_weights + tap * stride) += sums[tap];
}

// diff_plane under each entry's taps += value * weights[tap][16].
FW_INLINE void scatter_source(
    const entry *entries, size_t count, float *diff_plane, size_t width, size_t kernel, const float *weights,
    size_t stride) {
  fw_f32x16 factors[25];
  for (size_t tap = 0; tap < kernel * kernel; tap++) factors[tap] = *(const fw_f32x16 *)(weights + tap * stride);
  for (size_t i = 0; i < count; i++) {
    const float value = entries[i].value;
    float *target = diff_plane + entries[i].offset;
#pragma clang loop unroll(full)
    for (size_t y = 0; y < kernel; y++) {
#pragma clang loop unroll(full)
      for (size_t x = 0; x < kernel; x++) {
        *(fw_f32x16 *)(target + (y * width + x) * LANES) += value * factors[y * kernel + x];
      }
    }
  }
}

void fw_pooled_pad_plane(const fw_pooled_convolution *shape, const float *src, float *padded) {
  const fw_pooled_geometry g = fw_pooled_measure(shape);
  memset(padded, 0, g.plane * sizeof(float));
  for (size_t row = 0; row < shape->height; row++) {
    memcpy(
        padded + ((row + shape->padding) * g.padded_width + shape->padding) * LANES, src + row * shape->width * LANES,
        shape->width * LANES * sizeof(float));
  }
}

FW_INLINE void finish_source(
    const fw_pooled_convolution *shape, const fw_pooled_geometry *g, const float *padded, const float *src,
    bool src_rectified, float *diff_src) {
  const fw_f32x16 zero = {0};
  for (size_t row = 0; row < shape->height; row++) {
    const float *from = padded + ((row + shape->padding) * g->padded_width + shape->padding) * LANES;
    const size_t start = row * shape->width * LANES;
    for (size_t i = 0; i < shape->width * LANES; i += LANES) {
      const fw_f32x16 value = *(const fw_f32x16 *)(from + i);
      const fw_f32x16 source = *(const fw_f32x16 *)(src + start + i);
      *(fw_f32x16 *)(diff_src + start + i) = src_rectified ? FW_SELECT(source > zero, value, zero) : value;
    }
  }
}

FW_INLINE void backward(size_t kernel, FW_POOLED_PARAMETERS) {
  const fw_pooled_geometry g = fw_pooled_measure(shape);
  const size_t in = shape->in_channels, out = shape->out_channels, taps = kernel * kernel;
  const size_t plane = shape->height * shape->width * LANES, pooled = g.pixels * out, capacity = capacity_of(&g);
  entry *const entries = (entry *)workspace;
  workspace += (out * capacity * (sizeof(entry) / sizeof(float)) + 15) / 16 * 16;
  uint32_t *const counts = (uint32_t *)workspace;
  workspace += (out + 15) / 16 * 16;
  const draft scratch = {(entry *)workspace, (uint32_t *)(workspace + g.pixels * LANES * 2)};
  workspace += g.pixels * LANES * 3;
  float *const padded_src = workspace, *const padded_diff = workspace + g.plane;

  memset(diff_weights, 0, out * taps * in * sizeof(float));
  if (diff_bias) memset(diff_bias, 0, out * sizeof(float));
  for (size_t example = 0; example < shape->examples; example++) {
    lookahead ahead = {src, diff_src, 0, in / LANES * plane};
    list_entries(&g, out / LANES, diff, dst, index, rectify, scale, &scratch, entries, counts, &ahead);
    if (diff_bias) {
      for (size_t channel = 0; channel < out; channel++) {
        float sum = 0;
        for (size_t i = 0; i < counts[channel]; i++) sum += entries[channel * capacity + i].value;
        diff_bias[channel] += sum;
      }
    }
    for (size_t block = 0; block < in / LANES; block++) {
      const float *source = src;
      if (shape->padding) {
        fw_pooled_pad_plane(shape, src, padded_src);
        source = padded_src;
      }
      for (size_t channel = 0; channel < out; channel++) {
        accumulate_weights(
            entries + channel * capacity, counts[channel], source, g.padded_width, kernel,
            diff_weights + channel * taps * in + block * LANES, in);
      }
      if (diff_src) {
        float *const target = shape->padding ? padded_diff : diff_src;
        memset(target, 0, g.plane * sizeof(float));
        for (size_t channel = 0; channel < out; channel++) {
          scatter_source(
              entries + channel * capacity, counts[channel], target, g.padded_width, kernel,
              weights + channel * taps * in + block * LANES, in);
        }
        if (shape->padding || src_rectified) finish_source(shape, &g, target, src, src_rectified, diff_src);
        diff_src += plane;
      }
      src += plane;
    }
    diff += pooled;
    dst += pooled;
    index += pooled;
  }
}

FW_CLONES void fw_pooled_convolution_backward_portable(FW_POOLED_PARAMETERS) {
  // The kernel's size is a constant in each copy: its taps are then registers.
  switch (shape->kernel) {
    case 1: backward(1, FW_POOLED_ARGUMENTS); break;
    case 3: backward(3, FW_POOLED_ARGUMENTS); break;
    case 5: backward(5, FW_POOLED_ARGUMENTS); break;
    default: break;  // refused before a plan gets here
  }
}

size_t fw_pooled_convolution_workspace(const fw_pooled_convolution *shape) {
  size_t floats = portable_workspace(shape);
#if defined(__x86_64__)
  const size_t others = fw_pooled_workspace_avx512(shape);
  if (others > floats) floats = others;
#endif
  return floats;
}

void fw_pooled_convolution_backward(FW_POOLED_PARAMETERS) {
#if defined(__x86_64__)
  if (fw_pooled_has_avx512()) {
    fw_pooled_backward_avx512(FW_POOLED_ARGUMENTS);
    return;
  }
#endif
  fw_pooled_convolution_backward_portable(FW_POOLED_ARGUMENTS);
}

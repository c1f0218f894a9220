// Batch normalisation's passes over the data, and the walk over an image layout that they share.
//
// Everything is reduced to tiles: some rows of vectors of 16 elements, a few vectors side by side, whose per-channel
// factors are in registers. For nChw16c a tile is a block's plane, for channels-last some rows of up to 64 channels,
// for NCHW a channel's plane in rows of 16 pixels.
//
// Compared with oneDNN 2.6's batch normalisation with its ReLU, batches of 64 in resnet20's and resnet18's shapes, on
// one core of a Zen 4, in the cache: forward in 0.5 to 0.8 of its time in blocks and 0.3 to 0.45 channels-last,
// backward in 0.85 to 1.0 and 0.35 to 0.5. A residual or a second gradient costs the reading of it and no pass. Where x
// and dy together are beyond the cache oneDNN is as fast or faster backward, as it finishes one block of channels after
// another.
#pragma once

#include "NormalizationKernels.h"
#include "neural_random.h"

#include <string.h>

enum { FW_LANES = 16 };

// The kinds of pass. Constants where the code below is inlined: each pass is a loop without conditions.
typedef enum { FW_PASS_STATISTICS, FW_PASS_APPLY, FW_PASS_REDUCE, FW_PASS_BACKWARD } fw_pass_kind;

typedef struct {
  fw_pass_kind kind;
  fw_activation activation;
  bool other;   // apply: a residual; reduce: input->other
  bool second;  // reduce: dy2
  bool writes;  // reduce: dz
} fw_pass;

// Per-channel factors of a pass; not all are used by each.
enum { FW_MEAN, FW_SCALE, FW_SHIFT, FW_SLOPE, FW_OFFSET, FW_FACTORS };

typedef struct {
  const void *x, *other, *dy, *dy2;
  void *out;
  const float *factors[FW_FACTORS];
} fw_operands;

// The copies of a pass: for float32 and bfloat16, and for bfloat16 where the processor can convert to it.
#define FW_IMAGE_PASS_PARAMETERS \
  const fw_image_layout *layout, const fw_pass *pass, const fw_operands *operands, double *sums
void fw_image_pass_float32(FW_IMAGE_PASS_PARAMETERS);
void fw_image_pass_bfloat16(FW_IMAGE_PASS_PARAMETERS);
#if defined(__x86_64__)
void fw_image_pass_avx512bf16(FW_IMAGE_PASS_PARAMETERS);
#endif

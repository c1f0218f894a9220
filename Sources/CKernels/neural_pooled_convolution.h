// What the copies of fw_pooled_convolution_backward for different processors share.
#pragma once

#include "NeuralKernels.h"

enum { FW_POOLED_LANES = 16 };

// Arguments as of fw_pooled_convolution_backward.
#define FW_POOLED_PARAMETERS \
  const fw_pooled_convolution *shape, const float *diff, const float *dst, const uint8_t *index, bool rectify, \
      float scale, const float *src, const float *weights, float *diff_weights, float *diff_bias, float *diff_src, \
      bool src_rectified, float *workspace
#define FW_POOLED_ARGUMENTS \
  shape, diff, dst, index, rectify, scale, src, weights, diff_weights, diff_bias, diff_src, src_rectified, workspace

typedef struct {
  size_t rows, columns;                // of the pooled image
  size_t pixels;                       // their product
  size_t padded_height, padded_width;  // of the source, with its border
  size_t plane;                        // floats of a padded plane of 16 channels
} fw_pooled_geometry;

static inline fw_pooled_geometry fw_pooled_measure(const fw_pooled_convolution *shape) {
  fw_pooled_geometry g;
  g.padded_height = shape->height + 2 * shape->padding;
  g.padded_width = shape->width + 2 * shape->padding;
  g.rows = (g.padded_height - shape->kernel + 1) / 2;
  g.columns = (g.padded_width - shape->kernel + 1) / 2;
  g.pixels = g.rows * g.columns;
  g.plane = g.padded_height * g.padded_width * FW_POOLED_LANES;
  return g;
}

// A plane with a border of zeros.
void fw_pooled_pad_plane(const fw_pooled_convolution *shape, const float *src, float *padded);

#if defined(__x86_64__)
// Whether the processor has what the next two need: AVX-512 F and BW.
bool fw_pooled_has_avx512(void);
size_t fw_pooled_workspace_avx512(const fw_pooled_convolution *shape);
void fw_pooled_backward_avx512(FW_POOLED_PARAMETERS);
#endif

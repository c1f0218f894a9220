// bfloat16, and the element-wise loops of networks whose activations are in float32 or bfloat16.
//
// A bfloat16 is the upper half of a float32, a uint16_t here. Rounding is to the nearest, of two equally near to the
// even one; what is too large becomes infinite, and what is not a number stays so. The same bits on every processor.
#pragma once

#include "KernelStorage.h"

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// dst[i] = src[i], rounded.
void fw_bfloat16_from_float32(const float *src, uint16_t *dst, size_t count);

/// dst[i] = src[i].
void fw_float32_from_bfloat16(const uint16_t *src, float *dst, size_t count);

// In what follows dst may be any of the sources.

/// dst = a + b.
void fw_tensor_add(fw_storage storage, const void *a, const void *b, void *dst, size_t count);

/// dst = factor * src.
void fw_tensor_scale(fw_storage storage, const void *src, float factor, void *dst, size_t count);

/// dst = max(src, 0). A NaN stays.
void fw_tensor_relu(fw_storage storage, const void *src, void *dst, size_t count);

/// dst = output > 0 ? factor * diff : 0, with the output of a ReLU.
void fw_tensor_relu_backward(
    fw_storage storage, const void *output, const void *diff, float factor, void *dst, size_t count);

#ifdef __cplusplus
}
#endif

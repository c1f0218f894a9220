// What networks do element by element, over float32 or bfloat16 in any layout. Arithmetic is in float32.
#pragma once

#include "NormalizationKernels.h"

#ifdef __cplusplus
extern "C" {
#endif

/// dst = a + b; dst may be one of them.
void fw_sum(fw_storage storage, const void *a, const void *b, void *dst, size_t count);

/// dst = factor * src; dst may be src.
void fw_scale(fw_storage storage, const void *src, float factor, void *dst, size_t count);

/// dst = max(src, 0); dst may be src.
void fw_rectify(fw_storage storage, const void *src, void *dst, size_t count);

/// diff = dst > 0 ? scale * diff : 0 in place, where dst is what a ReLU (or a ReLU and a dropout) put out.
void fw_rectify_backward(fw_storage storage, const void *dst, void *diff, size_t count, float scale);

/// Reverses each of `rows` rows of `width` elements.
void fw_mirror_rows(fw_storage storage, void *data, size_t rows, size_t width);

#ifdef __cplusplus
}
#endif

// Element-wise loops of the neural layers: dropout, ReLU, softmax cross-entropy, random initial values.
//
// Random numbers are Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011): a keyed
// bijection of a 128-bit counter, so that any number of any stream can be had without computing those before it.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// What a dropout mask is a function of, apart from the example and the element.
typedef struct {
  uint64_t seed;
  uint32_t step;
  /// 12 bits.
  uint32_t layer;
  /// An element is dropped where its 16 random bits, as an integer, are below this; 0 drops none, 65536 all.
  uint32_t threshold;
  /// Factor on the elements that are kept: 65536 / (65536 - threshold).
  float scale;
} fw_dropout;

/// The four words of Philox4x32-10 for a counter and a key.
void fw_philox4x32(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

/// dst = keep ? scale * src : 0, over examples * count floats, examples in one piece each; where `rectify` is set src is
/// taken as max(src, 0). Example i draws from the stream of first_example + i. src and dst may be the same.
void fw_dropout_forward(
    const float *src, float *dst, size_t examples, size_t count, uint64_t first_example, bool rectify,
    const fw_dropout *dropout);

/// diff = keep ? scale * diff : 0 in place, with the mask of the forward pass drawn again.
void fw_dropout_backward(
    float *diff, size_t examples, size_t count, uint64_t first_example, const fw_dropout *dropout);

/// dst = max(src, 0); src and dst may be the same.
void fw_relu_forward(const float *src, float *dst, size_t count);

/// diff = dst > 0 ? scale * diff : 0 in place, where dst is what a ReLU (or a ReLU and a dropout) put out.
void fw_relu_backward(const float *dst, float *diff, size_t count, float scale);

/// Sum over the examples of the cross-entropy between softmax(logits) and the target distribution
/// (1 - smoothing) * onehot(label) + smoothing / classes; examples are added in order, in double precision.
/// gradient = gradient_scale * d(sum)/d(logits), unless NULL. Adds to *correct, unless NULL, the number of examples whose
/// largest logit (the first, if several are equal) is the label's. Labels must be in 0 ..< classes.
double fw_softmax_cross_entropy(
    const float *logits, const int32_t *labels, size_t examples, size_t classes, double smoothing,
    float gradient_scale, float *gradient, int64_t *correct);

/// out[i] = bound * (2u - 1), u uniform in [0, 1) with 24 bits: element first + i of the stream (seed, tensor).
void fw_uniform_fill(float *out, size_t first, size_t count, uint64_t seed, uint32_t tensor, float bound);

#ifdef __cplusplus
}
#endif

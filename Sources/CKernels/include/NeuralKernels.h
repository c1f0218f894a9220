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

/// dst = keep ? scale * src : 0, over examples * count floats, examples in one piece each; where `rectify` is set src
/// is taken as max(src, 0). Example i draws from the stream of first_example + i. src and dst may be the same.
void fw_dropout_forward(
    const float *src, float *dst, size_t examples, size_t count, uint64_t first_example, bool rectify,
    const fw_dropout *dropout);

/// Max-pooling of 2 x 2 windows that do not overlap, over images of 16-channel blocks ([planes][height][width][16],
/// planes = blocks of channels per example), then max(., 0) where `rectify` is set, then dropout unless its threshold
/// is 0.
///
/// dst is [examples][planes][height/2][width/2][16]; index, of as many bytes, says which of a window's four elements
/// (row by row; the first, if several are equal) was the largest, and may be NULL. A NaN wins over every number.
void fw_max_pool2_forward(
    const float *src, float *dst, uint8_t *index, size_t examples, size_t planes, size_t height, size_t width,
    uint64_t first_example, bool rectify, const fw_dropout *dropout);

/// The gradient of fw_max_pool2_forward's source: diff_src gets diff at each window's largest element, zero elsewhere;
/// where `rectify` is set only if dst > 0 there, and multiplied by `scale`.
void fw_max_pool2_backward(
    const float *diff, const float *dst, const uint8_t *index, float *diff_src, size_t examples, size_t planes,
    size_t height, size_t width, bool rectify, float scale);

/// A convolution with a max-pooling of 2 x 2 behind it, for the way back. Images are in 16-channel blocks.
typedef struct {
  size_t examples;
  size_t in_channels, out_channels;  // multiples of 16
  size_t height, width;              // of the convolution's source
  size_t kernel;                     // 1, 3 or 5, square; the stride is 1
  size_t padding;
} fw_pooled_convolution;

/// Floats of workspace that fw_pooled_convolution_backward needs; 64-byte aligned.
size_t fw_pooled_convolution_workspace(const fw_pooled_convolution *shape);

/// Both gradients of a convolution whose output went through fw_max_pool2_forward, straight from the pooling's
/// gradient.
///
/// At most a quarter of the convolution's output gradient is not zero (one element a window), and fewer where a ReLU
/// and a dropout follow. So it is not written out: the elements that are not zero are listed, channel by channel, and
/// each does its kernel^2 * in_channels multiplications and no others. Sums have an order fixed by the shape and the
/// processor's instruction set alone.
///
/// diff, dst, index, rectify, scale: as fw_max_pool2_backward. src: the convolution's source. weights and diff_weights:
/// [out][kernel][kernel][in]. diff_bias may be NULL. diff_src may be NULL; where src_rectified is set it is zeroed
/// where src is not positive (src being the output of a ReLU).
void fw_pooled_convolution_backward(
    const fw_pooled_convolution *shape, const float *diff, const float *dst, const uint8_t *index, bool rectify,
    float scale, const float *src, const float *weights, float *diff_weights, float *diff_bias, float *diff_src,
    bool src_rectified, float *workspace);

/// The same without the code that is written for one instruction set, for comparison.
void fw_pooled_convolution_backward_portable(
    const fw_pooled_convolution *shape, const float *diff, const float *dst, const uint8_t *index, bool rectify,
    float scale, const float *src, const float *weights, float *diff_weights, float *diff_bias, float *diff_src,
    bool src_rectified, float *workspace);

/// Sum over the examples of the cross-entropy between softmax(logits) and the target distribution
/// (1 - smoothing) * onehot(label) + smoothing / classes; examples are added in order, in double precision.
/// gradient = gradient_scale * d(sum)/d(logits), unless NULL. Adds to *correct, unless NULL, the number of examples
/// whose largest logit (the first, if several are equal) is the label's. Labels must be in 0 ..< classes.
double fw_softmax_cross_entropy(
    const float *logits, const int32_t *labels, size_t examples, size_t classes, double smoothing,
    float gradient_scale, float *gradient, int64_t *correct);

/// out[i] = bound * (2u - 1), u uniform in [0, 1) with 24 bits: element first + i of the stream (seed, tensor).
void fw_uniform_fill(float *out, size_t first, size_t count, uint64_t seed, uint32_t tensor, float bound);

/// out[i] = normal with mean 0, element i of the stream (seed, tensor). Where `truncated` is set, values further from 0
/// than twice the standard deviation are drawn again.
void fw_normal_fill(
    float *out, size_t count, uint64_t seed, uint32_t tensor, double standard_deviation, bool truncated);

#ifdef __cplusplus
}
#endif

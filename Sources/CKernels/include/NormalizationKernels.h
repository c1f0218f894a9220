// Batch normalisation with its activation, over images in float32 or bfloat16.
//
// Ioffe and Szegedy, "Batch normalization", ICML 2015. A training step makes two passes forward (statistics; apply) and
// two backward (reduce; apply). Between the passes of either pair lie a few operations per channel on sums in double
// precision, which is where the sums of several ranks may be added to one another.
//
// None of these allocates, and each sum has an order fixed by the shape and the processor's instruction set alone.
#pragma once

#include "KernelStorage.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// A batch of images in memory as [examples][channels / block, rounded up][area][block].
///
/// block 16 is oneDNN's nChw16c: the channels that fill the last block up are zero, and stay zero in whatever is
/// written here. block == channels is channels-last. block 1 is plain NCHW. No other block is allowed. A matrix of
/// [examples][channels] is channels-last with an area of 1.
typedef struct {
  size_t examples, channels, area, block;
} fw_image_layout;

/// Elements of such a batch, padding included.
size_t fw_image_count(const fw_image_layout *layout);

/// Entries of a working array with one value per channel: the channels, rounded up to a multiple of 16. The entries
/// behind the last channel must be zero; the fw_batch_norm_..._channels functions write them so.
size_t fw_channel_count(size_t channels);

/// What is applied to a normalised value u.
typedef enum {
  FW_IDENTITY = 0,
  /// max(u, 0)
  FW_RELU = 1,
  /// u/2 (1 + tanh(sqrt(2/pi) (u + 0.044715 u^3)))
  FW_GELU_TANH = 2,
  /// u / (1 + exp(-u))
  FW_SILU = 3,
} fw_activation;

// Forward.

/// sums[2][channels] = sum over the batch of x, and of x^2. For statistics over several ranks, add up sums and counts.
///
/// In float32 around a value near each channel's mean, within pieces of some thousand elements; in double precision
/// over the pieces. So a mean that is large against the deviation costs no precision. workspace has
/// fw_channel_count(channels) entries; it may be the array that fw_batch_norm_channels writes the means to.
void fw_batch_norm_statistics(
    const fw_image_layout *layout, fw_storage storage, const void *x, float *workspace, double *sums);

/// From sums over `count` elements a channel: mean and rstd = 1/sqrt(variance + epsilon), with the variance divided by
/// count, and scale = gamma rstd and shift = beta - mean scale, so that gamma xhat + beta = scale x + shift.
///
/// gamma and beta, of `channels` entries, may be NULL: 1 and 0. mean, rstd, scale and shift have
/// fw_channel_count(channels) entries each.
void fw_batch_norm_channels(
    size_t channels, double count, const double *sums, const float *gamma, const float *beta, double epsilon,
    float *mean, float *rstd, float *scale, float *shift);

/// running = (1 - momentum) running + momentum batch, with the batch's mean and its unbiased variance (divided by
/// count - 1), as PyTorch does.
void fw_batch_norm_update_running(
    size_t channels, double count, const double *sums, double momentum, float *running_mean, float *running_variance);

/// scale and shift from running statistics, for evaluation. gamma and beta may be NULL.
void fw_batch_norm_evaluation_channels(
    size_t channels, const float *running_mean, const float *running_variance, const float *gamma, const float *beta,
    double epsilon, float *scale, float *shift);

/// y = activation(scale x + shift + residual). residual may be NULL; y may be x or residual.
///
/// The channels that only fill a block up come out as the activation of 0, which is 0.
void fw_batch_norm_apply(
    const fw_image_layout *layout, fw_storage storage, const void *x, const float *scale, const float *shift,
    const void *residual, fw_activation activation, void *y);

// Backward.

/// What the passes backward read.
typedef struct {
  /// The normalisation's input.
  const void *x;
  /// From fw_batch_norm_channels.
  const float *mean, *scale, *shift;
  fw_activation activation;
  /// NULL where the forward pass had no residual. Else with FW_RELU its output y, with FW_GELU_TANH and FW_SILU the
  /// residual; not read with FW_IDENTITY.
  const void *other;
} fw_batch_norm_input;

/// dz = (dy + dy2) activation'(u), and sums[2][channels] = sum over the batch of dz, and of dz (x - mean).
///
/// u is computed again from x as the forward pass did; with FW_RELU and a residual the sign of y is used instead.
/// dy2 may be NULL; it is the second of two gradients where a value had two readers. dz may be NULL, dy or dy2; it is
/// the gradient of the residual, and what fw_batch_norm_backward_apply reads unless the activation is FW_RELU (or
/// FW_IDENTITY) without a residual and with one gradient. Sums over several ranks are added before the next step.
void fw_batch_norm_backward_reduce(
    const fw_image_layout *layout, fw_storage storage, const fw_batch_norm_input *input, const void *dy,
    const void *dy2, void *dz, double *sums);

/// dgamma = rstd sums[1], dbeta = sums[0], of `channels` entries; either may be NULL. With statistics over several
/// ranks, from a rank's own sums if gradients are added over the ranks afterwards.
void fw_batch_norm_parameter_gradients(
    size_t channels, const double *sums, const float *rstd, float *dgamma, float *dbeta);

/// The factors of dx = scale (dz - mean(dz) - xhat mean(dz xhat)) = scale dz + slope x + offset, from sums over
/// `count` elements a channel. slope and offset have fw_channel_count(channels) entries.
void fw_batch_norm_backward_channels(
    size_t channels, double count, const double *sums, const float *mean, const float *rstd, const float *scale,
    float *slope, float *offset);

/// dx = scale dz + slope x + offset. With `masks` set, dz is computed from dy and x as fw_batch_norm_backward_reduce
/// did for FW_RELU without a residual; otherwise dy is that function's dz (or its dy, with FW_IDENTITY). dx may be dy.
/// Of `input` x, scale and shift are read.
void fw_batch_norm_backward_apply(
    const fw_image_layout *layout, fw_storage storage, const fw_batch_norm_input *input, const void *dy, bool masks,
    const float *slope, const float *offset, void *dx);

// Pooling.

/// Max-pooling in windows of window x window (at most 15) that do not overlap, over images of layout->area / width rows
/// of `width` pixels; rows and columns that do not fill a window are left out.
///
/// dst is as `layout`, with (height / window) (width / window) pixels. index, of a byte for each of its elements, says
/// which of the window's elements (row by row; the first of several equal ones) was the largest. A NaN beats every
/// number.
void fw_image_max_pool_forward(
    const fw_image_layout *layout, size_t width, size_t window, fw_storage storage, const void *src, void *dst,
    uint8_t *index);

/// The gradient of the source: diff at each window's largest element, zero elsewhere. `layout` is the source's.
void fw_image_max_pool_backward(
    const fw_image_layout *layout, size_t width, size_t window, fw_storage storage, const void *diff,
    const uint8_t *index, void *diff_src);

#ifdef __cplusplus
}
#endif

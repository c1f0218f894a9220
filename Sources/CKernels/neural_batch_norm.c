// Batch normalisation: what is done per channel, and the choice of the pass over the data.
#include "neural_batch_norm.h"

#include <math.h>

size_t fw_image_count(const fw_image_layout *l) {
  return l->examples * ((l->channels + l->block - 1) / l->block * l->block) * l->area;
}

size_t fw_channel_count(size_t channels) { return (channels + FW_LANES - 1) / FW_LANES * FW_LANES; }

static void run_pass(
    const fw_image_layout *layout, fw_storage storage, const fw_pass *pass, const fw_operands *operands, double *sums) {
  if (sums) memset(sums, 0, 2 * layout->channels * sizeof *sums);
  if (storage == FW_FLOAT32) {
    fw_image_pass_float32(layout, pass, operands, sums);
    return;
  }
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512bf16")) {
    fw_image_pass_avx512bf16(layout, pass, operands, sums);
    return;
  }
#endif
  fw_image_pass_bfloat16(layout, pass, operands, sums);
}

void fw_batch_norm_statistics(
    const fw_image_layout *layout, fw_storage storage, const void *x, float *workspace, double *sums) {
  const size_t channels = layout->channels;
  for (size_t i = channels; i < fw_channel_count(channels); i++) workspace[i] = 0;
  const fw_pass pass = {.kind = FW_PASS_STATISTICS};
  fw_operands operands = {.x = x, .out = workspace};
  operands.factors[FW_MEAN] = workspace;
  run_pass(layout, storage, &pass, &operands, sums);
  const double count = (double)(layout->examples * layout->area);
  for (size_t i = 0; i < channels; i++) {
    // Of deviations from a centre so far.
    const double centre = workspace[i], sum = sums[i], squares = sums[channels + i];
    sums[i] = count * centre + sum;
    sums[channels + i] = squares + 2 * centre * sum + count * centre * centre;
  }
}

static void fold(
    size_t i, double mean, double rstd, const float *gamma, const float *beta, float *scale, float *shift) {
  const double factor = (gamma ? (double)gamma[i] : 1) * rstd;
  scale[i] = (float)factor;
  shift[i] = (float)((beta ? (double)beta[i] : 0) - mean * factor);
}

static void clear_rest(size_t channels, float *values) {
  for (size_t i = channels; i < fw_channel_count(channels); i++) values[i] = 0;
}

static double variance_of(size_t channels, double count, const double *sums, size_t i) {
  const double mean = sums[i] / count, variance = sums[channels + i] / count - mean * mean;
  return variance < 0 ? 0 : variance;  // by rounding, where all values are equal
}

void fw_batch_norm_channels(
    size_t channels, double count, const double *sums, const float *gamma, const float *beta, double epsilon,
    float *mean, float *rstd, float *scale, float *shift) {
  for (size_t i = 0; i < channels; i++) {
    const double m = sums[i] / count, r = 1 / sqrt(variance_of(channels, count, sums, i) + epsilon);
    mean[i] = (float)m;
    rstd[i] = (float)r;
    fold(i, m, r, gamma, beta, scale, shift);
  }
  float *const arrays[] = {mean, rstd, scale, shift};
  for (size_t k = 0; k < 4; k++) clear_rest(channels, arrays[k]);
}

void fw_batch_norm_update_running(
    size_t channels, double count, const double *sums, double momentum, float *running_mean, float *running_variance) {
  // The variance of a single element is not defined; PyTorch refuses it.
  const double unbiased = count > 1 ? count / (count - 1) : 1;
  for (size_t i = 0; i < channels; i++) {
    const double variance = variance_of(channels, count, sums, i) * unbiased;
    running_mean[i] = (float)((1 - momentum) * running_mean[i] + momentum * (sums[i] / count));
    running_variance[i] = (float)((1 - momentum) * running_variance[i] + momentum * variance);
  }
}

void fw_batch_norm_evaluation_channels(
    size_t channels, const float *running_mean, const float *running_variance, const float *gamma, const float *beta,
    double epsilon, float *scale, float *shift) {
  for (size_t i = 0; i < channels; i++) {
    fold(i, running_mean[i], 1 / sqrt(running_variance[i] + epsilon), gamma, beta, scale, shift);
  }
  clear_rest(channels, scale);
  clear_rest(channels, shift);
}

void fw_batch_norm_apply(
    const fw_image_layout *layout, fw_storage storage, const void *x, const float *scale, const float *shift,
    const void *residual, fw_activation activation, void *y) {
  const fw_pass pass = {.kind = FW_PASS_APPLY, .activation = activation, .other = residual != NULL};
  fw_operands operands = {.x = x, .other = residual, .out = y};
  operands.factors[FW_SCALE] = scale;
  operands.factors[FW_SHIFT] = shift;
  run_pass(layout, storage, &pass, &operands, NULL);
}

void fw_batch_norm_backward_reduce(
    const fw_image_layout *layout, fw_storage storage, const fw_batch_norm_input *input, const void *dy,
    const void *dy2, void *dz, double *sums) {
  const fw_pass pass = {
      .kind = FW_PASS_REDUCE,
      .activation = input->activation,
      .other = input->other != NULL && input->activation != FW_IDENTITY,
      .second = dy2 != NULL,
      .writes = dz != NULL,
  };
  fw_operands operands = {.x = input->x, .other = input->other, .dy = dy, .dy2 = dy2, .out = dz};
  operands.factors[FW_MEAN] = input->mean;
  operands.factors[FW_SCALE] = input->scale;
  operands.factors[FW_SHIFT] = input->shift;
  run_pass(layout, storage, &pass, &operands, sums);
}

void fw_batch_norm_parameter_gradients(
    size_t channels, const double *sums, const float *rstd, float *dgamma, float *dbeta) {
  for (size_t i = 0; i < channels; i++) {
    if (dgamma) dgamma[i] = (float)(rstd[i] * sums[channels + i]);
    if (dbeta) dbeta[i] = (float)sums[i];
  }
}

void fw_batch_norm_backward_channels(
    size_t channels, double count, const double *sums, const float *mean, const float *rstd, const float *scale,
    float *slope, float *offset) {
  for (size_t i = 0; i < channels; i++) {
    const double r = rstd[i], factor = -scale[i] / count;
    slope[i] = (float)(factor * r * r * sums[channels + i]);
    offset[i] = (float)(factor * sums[i] - (double)slope[i] * mean[i]);
  }
  clear_rest(channels, slope);
  clear_rest(channels, offset);
}

void fw_batch_norm_backward_apply(
    const fw_image_layout *layout, fw_storage storage, const fw_batch_norm_input *input, const void *dy, bool masks,
    const float *slope, const float *offset, void *dx) {
  const fw_pass pass = {.kind = FW_PASS_BACKWARD, .activation = masks ? FW_RELU : FW_IDENTITY, .writes = true};
  fw_operands operands = {.x = input->x, .dy = dy, .out = dx};
  operands.factors[FW_SCALE] = input->scale;
  operands.factors[FW_SHIFT] = input->shift;
  operands.factors[FW_SLOPE] = slope;
  operands.factors[FW_OFFSET] = offset;
  run_pass(layout, storage, &pass, &operands, NULL);
}

#include "NeuralKernels.h"
#include "neural_dropout.h"

FW_CLONES void fw_dropout_forward(
    const float *src, float *dst, size_t examples, size_t count, uint64_t first_example, bool rectify,
    const fw_dropout *dropout) {
  // Two copies, so that the condition is not tested in the loop.
  if (rectify) {
    drop(src, dst, examples, count, first_example, true, dropout);
  } else {
    drop(src, dst, examples, count, first_example, false, dropout);
  }
}

FW_CLONES void fw_dropout_backward(
    float *diff, size_t examples, size_t count, uint64_t first_example, const fw_dropout *dropout) {
  drop(diff, diff, examples, count, first_example, false, dropout);
}

FW_CLONES void fw_relu_forward(const float *src, float *dst, size_t count) {
#pragma clang loop vectorize(assume_safety)
  for (size_t i = 0; i < count; i++) dst[i] = src[i] < 0 ? 0 : src[i];
}

FW_CLONES void fw_relu_backward(const float *dst, float *diff, size_t count, float scale) {
#pragma clang loop vectorize(assume_safety)
  for (size_t i = 0; i < count; i++) {
    const float value = diff[i] * scale;
    diff[i] = dst[i] > 0 ? value : 0;
  }
}

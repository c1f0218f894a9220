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

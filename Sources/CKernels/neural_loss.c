#include "NeuralKernels.h"

#include <math.h>

double fw_softmax_cross_entropy(
    const float *logits, const int32_t *labels, size_t examples, size_t classes, double smoothing,
    float gradient_scale, float *gradient, int64_t *correct) {
  double sum = 0;
  int64_t hits = 0;
  const double share = smoothing / (double)classes;
  for (size_t example = 0; example < examples; example++) {
    const float *row = logits + example * classes;
    const size_t label = (size_t)labels[example];

    size_t largest = 0;
    double total = 0;  // of the logits, for the smoothed part of the target
    for (size_t j = 0; j < classes; j++) {
      if (row[j] > row[largest]) largest = j;
      total += row[j];
    }
    hits += largest == label;

    const double maximum = row[largest];
    double normalizer = 0;
    for (size_t j = 0; j < classes; j++) normalizer += exp(row[j] - maximum);
    const double log_normalizer = maximum + log(normalizer);
    // -sum_j q_j log p_j, with log p_j = logit_j - log_normalizer and q the smoothed target, which adds up to one.
    sum += log_normalizer - (1 - smoothing) * row[label] - share * total;

    if (gradient) {
      float *out = gradient + example * classes;
      const double factor = gradient_scale;
      for (size_t j = 0; j < classes; j++) {
        const double target = share + (j == label ? 1 - smoothing : 0);
        out[j] = (float)(factor * (exp(row[j] - maximum) / normalizer - target));
      }
    }
  }
  if (correct) *correct += hits;
  return sum;
}

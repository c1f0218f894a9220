#include <math.h>

#include "UpdateKernels.h"
#include "update_support.h"

FW_INLINE void update_loop(struct fw_sources gradients, size_t gradient_count, struct fw_adamw_schedulefree_step s,
                           float *restrict y, float *restrict z, float *restrict x, float *restrict v, size_t count) {
  for (size_t i = 0; i < count; i++) {
    float g = fw_tree_at(gradients, gradient_count, i) * s.gradient_scale;
    // The y at which g was taken has the bits of this expression, so it need not be read.
    float y_old = z[i] + s.beta1 * (x[i] - z[i]);
    float v_new = s.beta2 * v[i] + s.one_minus_beta2 * (g * g);
    float u = g / (sqrtf(v_new * s.inverse_bias_correction2) + s.epsilon) + s.weight_decay * y_old;
    float z_new = z[i] - s.learning_rate * u;
    float x_new = x[i] + s.averaging_weight * (z_new - x[i]);
    v[i] = v_new;
    z[i] = z_new;
    x[i] = x_new;
    y[i] = z_new + s.beta1 * (x_new - z_new);
  }
}

FW_DISPATCHED void fw_adamw_schedulefree(const float *const *gradients, size_t gradient_count,
                                         struct fw_adamw_schedulefree_step step, float *restrict y, float *restrict z,
                                         float *restrict x, float *restrict v, size_t count) {
#define LOOP(sources, n, begin, length) \
  update_loop(sources, n, step, y + (begin), z + (begin), x + (begin), v + (begin), length)
#define FETCH(begin) fw_fetch(y + (begin)), fw_fetch(z + (begin)), fw_fetch(x + (begin)), fw_fetch(v + (begin))
  FW_FOR_SOURCES(gradients, gradient_count, count, LOOP, FETCH);
#undef FETCH
#undef LOOP
}

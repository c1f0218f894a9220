#include "UpdateKernels.h"
#include "update_support.h"

FW_INLINE void update_loop(struct fw_sources gradients, size_t gradient_count, struct fw_sgd_step s, float *restrict y,
                           float *restrict p, float *restrict m, size_t count) {
  for (size_t i = 0; i < count; i++) {
    float g = fw_tree_at(gradients, gradient_count, i) * s.gradient_scale + s.weight_decay * p[i];
    float m_new = s.momentum * m[i] + g;
    float u = s.gradient_weight * g + s.momentum_weight * m_new;
    float p_new = p[i] - s.learning_rate * u;
    m[i] = m_new;
    p[i] = p_new;
    y[i] = p_new;
  }
}

FW_DISPATCHED void fw_sgd(const float *const *gradients, size_t gradient_count, struct fw_sgd_step step,
                          float *restrict y, float *restrict p, float *restrict m, size_t count) {
#define LOOP(sources, n, begin, length) update_loop(sources, n, step, y + (begin), p + (begin), m + (begin), length)
#define FETCH(begin) fw_fetch(y + (begin)), fw_fetch(p + (begin)), fw_fetch(m + (begin))
  FW_FOR_SOURCES(gradients, gradient_count, count, LOOP, FETCH);
#undef FETCH
#undef LOOP
}

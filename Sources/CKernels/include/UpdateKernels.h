#pragma once

// Element-wise loops of the optimizers, in single precision.
//
// What holds for all of them:
//  * The bits of an element's result depend on that element's inputs alone: not on the instruction set chosen at run
//    time, and not on where a range begins or ends. Every operation is rounded by itself (contraction to fused
//    multiply-add is off) and none is approximate.
//  * Pointers need the alignment of a float only; counts may be anything, 0 included.
//  * Memory that is written overlaps nothing else that is passed.
//  * Several gradients are summed in a fixed binary tree: sum(lo,hi) = sum(lo,mid) + sum(mid,hi), where mid - lo is the
//    largest power of two below hi - lo. Their number is at least 1.

#include <stdbool.h>
#include <stddef.h>

#pragma clang assume_nonnull begin

/// The gradients of a step: one pointer per rank or lane, summed in the fixed tree, then scaled. And, as they too belong
/// to the call and not to the method, how y is stored, and who wants to know of numbers in it that are not finite.
struct fw_gradients {
  const float *_Nonnull const *_Nonnull sources;
  size_t count;   ///< at least 1
  size_t offset;  ///< floats by which the range begins behind each pointer
  float scale;    ///< multiplies the sum
  /// Whether y goes past the caches: its lines are then neither read before they are overwritten nor kept. Changes no
  /// bits. Only a y that begins on a multiple of 64 bytes is stored so.
  bool stream_y;
  /// Becomes true if something is written to y that is not a finite number: which it is after a gradient that is none.
  bool *_Nullable found_nonfinite;
};

/// Scalars of one step of Schedule-Free AdamW. RAdam before its rectification is defined takes u = g by setting
/// `inverse_bias_correction2` to 0 and `epsilon` to 1.
struct fw_adamw_schedulefree_step {
  float learning_rate;             ///< γ
  float averaging_weight;          ///< c
  float beta1;                     ///< y = z + β1 (x - z)
  float beta2;                     ///< decay of v
  float one_minus_beta2;           ///< 1 - β2, rounded once
  float inverse_bias_correction2;  ///< 1 / (1 - β2^(k+1))
  float epsilon;
  float weight_decay;              ///< λ
  float decay_point;               ///< λ is taken at z + this (x - z): β1 for y, 0 for z
  float inner_momentum;            ///< μ, decay of m
  float one_minus_inner_momentum;  ///< 1 - μ, rounded once
  float inverse_bias_correction1;  ///< 1 / (1 - μ^(k+1))
};

/// v ← β2 v + (1-β2) g²;  u = n / (√(v/(1-β2^(k+1))) + ε) + λ·decay point;  z ← z - γu;  x ← x + c(z - x);
/// writes y = z + β1(x - z).  n is g; or, where `m` is not null, m ← μm + (1-μ)g and n = m/(1-μ^(k+1)).
void fw_adamw_schedulefree(struct fw_gradients gradients, struct fw_adamw_schedulefree_step step, float *y, float *z,
                           float *x, float *v, float *_Nullable m, size_t count);

/// Scalars of one step of Schedule-Free SGD.
struct fw_sgd_schedulefree_step {
  float learning_rate;     ///< γ
  float averaging_weight;  ///< c
  float momentum;          ///< y = z + β (x - z)
  float weight_decay;      ///< λ, at y
};

/// u = g + λy;  z ← z - γu;  x ← x + c(z - x);  writes y = z + β(x - z).
void fw_sgd_schedulefree(struct fw_gradients gradients, struct fw_sgd_schedulefree_step step, float *y, float *z,
                         float *x, size_t count);

/// y = z + β(x - z): the bits that the updates above write.
void fw_schedulefree_gradient_point(const float *z, const float *x, float beta, float *y, size_t count);

/// z ← z - amount · (z + β(x - z)): weight decay at y, ahead of the step of another method.
void fw_schedulefree_decay(float *z, const float *x, float beta, float amount, size_t count);

/// x ← x + c(z - x);  writes y = z + β(x - z).  After the step of another method, which moved z.
void fw_schedulefree_average(const float *z, float *x, float averaging_weight, float beta, float *y, size_t count);

/// sums[0] += Σ|g|;  sums[1] += Σ g · (z - x): in double precision, in an order fixed by `count` alone.
void fw_schedulefree_plus_sums(struct fw_gradients gradients, const float *z, const float *x, size_t count,
                               double *sums);

/// Scalars of one step of Adam or AdamW.
struct fw_adam_step {
  float learning_rate;             ///< γ
  float beta1;                     ///< decay of m
  float one_minus_beta1;           ///< 1 - β1, rounded once
  float beta2;                     ///< decay of v
  float one_minus_beta2;           ///< 1 - β2, rounded once
  float inverse_bias_correction1;  ///< 1 / (1 - β1^(k+1))
  float inverse_bias_correction2;  ///< 1 / (1 - β2^(k+1))
  float epsilon;
  float decoupled_decay;           ///< λ of AdamW
  float coupled_decay;             ///< λ of Adam: added to the gradient
};

/// g ← g + coupled λ p;  m ← β1 m + (1-β1) g;  v ← β2 v + (1-β2) g²;  p ← p - γ (m̂ / (√v̂ + ε) + decoupled λ p),
/// hats: bias-corrected;  writes y = p.
void fw_adam(struct fw_gradients gradients, struct fw_adam_step step, float *y, float *p, float *m, float *v,
             size_t count);

/// Scalars of one step of SGD with momentum.
struct fw_sgd_step {
  float learning_rate;    ///< γ
  float momentum;         ///< μ
  float gradient_weight;  ///< of g in the direction: 0, with Nesterov's momentum 1
  float momentum_weight;  ///< of m in the direction: 1, with Nesterov's momentum μ
  float weight_decay;     ///< λ, added to the gradient
};

/// g ← g + λp;  m ← μm + g;  p ← p - γ (gradient_weight · g + momentum_weight · m);  writes y = p.  Where `m` is null,
/// p ← p - γg.
void fw_sgd(struct fw_gradients gradients, struct fw_sgd_step step, float *y, float *p, float *_Nullable m,
            size_t count);

/// Scalars of one step of RMSprop.
struct fw_rmsprop_step {
  float learning_rate;    ///< γ
  float beta2;            ///< α, decay of v
  float one_minus_beta2;  ///< 1 - α, rounded once
  float epsilon;
  float momentum;         ///< μ
  float weight_decay;     ///< λ, added to the gradient
};

/// g ← g + λp;  v ← αv + (1-α)g²;  m ← μm + g / (√v + ε);  p ← p - γm;  writes y = p.  Where `m` is null,
/// p ← p - γ g / (√v + ε).
void fw_rmsprop(struct fw_gradients gradients, struct fw_rmsprop_step step, float *y, float *p, float *v,
                float *_Nullable m, size_t count);

/// average ← average + weight (p - average).
void fw_average(float *average, const float *p, float weight, size_t count);

/// mean[i] = sources[0][i] + weight · Σ (sources[j][i] - sources[0][i]), the sum taken from j = 1 on in this order: the
/// mean for a weight of 1 / `source_count`. It is exact where all sources agree. `source_count` is at least 1.
void fw_mean(float *_Nonnull const *_Nonnull sources, size_t source_count, float weight, float *mean, size_t count);

/// slow ← slow + slow_step (p - slow);  p ← slow;  writes y = p.
void fw_lookahead(float *slow, float *p, float *y, float slow_step, size_t count);

/// destination[i] = sum over the sources, in the fixed tree. `source_count` is at least 1.
void fw_sum_tree(float *destination, const float *_Nonnull const *_Nonnull sources, size_t source_count, size_t count);

/// destination[i] += source[i].
void fw_add(float *destination, const float *source, size_t count);

/// Σ values[i]² in double precision, in an order fixed by `count` alone.
double fw_sum_squares(const float *values, size_t count);

/// a[i] = b[i] + factor · c[i]: the memory bandwidth that the kernels above are measured against (STREAM's triad).
void fw_stream_triad(float *a, const float *b, const float *c, float factor, size_t count);

/// The same, in the way that is fastest on arrays far larger than the caches: b and c are fetched ahead, and a is
/// written past the caches, so that its lines need not be read first. `a` begins on a multiple of 64 bytes.
void fw_stream_triad_nontemporal(float *a, const float *b, const float *c, float factor, size_t count);

#pragma clang assume_nonnull end

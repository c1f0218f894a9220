// The passes of neural_batch_norm.h for one kind of element; included once per copy, with these defined:
//   FW_ELEMENT        the element's type
//   FW_TARGET         attributes of the functions, or nothing
//   FW_LOAD(to, from), FW_STORE(to, from)   16 elements between memory and an fw_f32x16
#include "neural_batch_norm.h"

typedef double fw_f64x8 __attribute__((vector_size(64)));

#define FW_STEP static inline __attribute__((always_inline)) FW_TARGET
#define FW_UNROLL _Pragma("clang loop unroll(full)")
#define FW_NO_VECTORS _Pragma("clang loop vectorize(disable) unroll(disable)")

// Not inlined, so that what happens at the edge does not swell every loop.
static __attribute__((noinline)) void copy_part(FW_ELEMENT *to, const FW_ELEMENT *from, size_t count) {
  FW_NO_VECTORS for (size_t i = 0; i < count; i++) to[i] = from[i];
}

// A vector of `lanes` elements, of which those behind are zero.
FW_STEP void load(fw_f32x16 *to, const void *from, size_t index, size_t lanes) {
  const FW_ELEMENT *const source = (const FW_ELEMENT *)from + index;
  if (lanes == FW_LANES) {
    FW_LOAD(to, source);
  } else {
    FW_ELEMENT part[FW_LANES] = {0};
    copy_part(part, source, lanes);
    FW_LOAD(to, part);
  }
}

FW_STEP void store(void *to, size_t index, size_t lanes, const fw_f32x16 *from) {
  FW_ELEMENT *const target = (FW_ELEMENT *)to + index;
  if (lanes == FW_LANES) {
    FW_STORE(target, from);
  } else {
    FW_ELEMENT part[FW_LANES];
    FW_STORE(part, from);
    copy_part(target, part, lanes);
  }
}

// out = exp(in): 2^n times a polynomial in the rest, which is at most ln(2)/2. To about 1e-7, relatively.
FW_STEP void exponential(fw_f32x16 *out, const fw_f32x16 *in) {
  const fw_f32x16 high = {0}, low = {0};
  fw_f32x16 x = FW_SELECT(*in > high + 88.0f, high + 88.0f, *in);
  x = FW_SELECT(x < low - 87.0f, low - 87.0f, x);
  const fw_f32x16 magic = low + 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
  const fw_f32x16 shifted = x * 1.44269504f + magic;
  const fw_f32x16 n = shifted - magic;
  const fw_f32x16 r = (x - n * 0.693145752f) - n * 1.42860677e-6f;
  fw_f32x16 p = r * (1.0f / 5040) + 1.0f / 720;
  p = p * r + 1.0f / 120;
  p = p * r + 1.0f / 24;
  p = p * r + 1.0f / 6;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  const fw_i32x16 power = (((fw_i32x16)shifted - (fw_i32x16)magic) + 127) << 23;
  *out = p * (fw_f32x16)power;
}

// gelu(u) = u s(w) with the logistic function s and w = 2 sqrt(2/pi) (u + 0.044715 u^3), as 1 + tanh(t) = 2 s(2 t).
#define FW_GELU_ROOT 1.59576912f
#define FW_GELU_CUBE (1.59576912f * 0.044715f)

FW_STEP void activate(fw_activation activation, fw_f32x16 *value) {
  const fw_f32x16 u = *value, zero = {0};
  if (activation == FW_RELU) *value = FW_SELECT(u < zero, zero, u);
  if (activation == FW_GELU_TANH || activation == FW_SILU) {
    fw_f32x16 minus = activation == FW_SILU ? -u : -u * (FW_GELU_ROOT + FW_GELU_CUBE * u * u), power;
    exponential(&power, &minus);
    *value = u / (1.0f + power);
  }
}

// value *= activation'(u), for the activations that are smooth.
FW_STEP void differentiate(fw_activation activation, fw_f32x16 *value, const fw_f32x16 *at) {
  const fw_f32x16 u = *at;
  fw_f32x16 minus = activation == FW_SILU ? -u : -u * (FW_GELU_ROOT + FW_GELU_CUBE * u * u), power;
  exponential(&power, &minus);
  const fw_f32x16 logistic = 1.0f / (1.0f + power);
  // d(u s(w))/du = s + u s (1 - s) w'.
  fw_f32x16 slope = u * logistic * (1.0f - logistic);
  if (activation == FW_GELU_TANH) slope *= FW_GELU_ROOT + 3 * FW_GELU_CUBE * u * u;
  *value *= logistic + slope;
}

// One vector of one pass. What goes into the sums is zero in the lanes behind `lanes`.
FW_STEP void step(
    const fw_pass *pass, const fw_operands *o, size_t index, size_t lanes, const fw_f32x16 *factors, fw_f32x16 *sums) {
  const fw_f32x16 zero = {0};
  fw_f32x16 x;
  load(&x, o->x, index, lanes);
  if (pass->kind == FW_PASS_STATISTICS) {
    fw_f32x16 deviation = x - factors[FW_MEAN];
    if (lanes != FW_LANES) {
      const fw_i32x16 numbers = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
      deviation = FW_SELECT(numbers < (int32_t)lanes, deviation, zero);
    }
    sums[0] += deviation;
    sums[1] += deviation * deviation;
    return;
  }
  // The same expression in each pass, so that each sees the same sign.
  fw_f32x16 u = x * factors[FW_SCALE] + factors[FW_SHIFT];
  if (pass->kind == FW_PASS_APPLY) {
    if (pass->other) {
      fw_f32x16 residual;
      load(&residual, o->other, index, lanes);
      u += residual;
    }
    activate(pass->activation, &u);
    store(o->out, index, lanes, &u);
    return;
  }
  fw_f32x16 dz;
  load(&dz, o->dy, index, lanes);
  if (pass->kind == FW_PASS_REDUCE && pass->second) {
    fw_f32x16 more;
    load(&more, o->dy2, index, lanes);
    dz += more;
  }
  if (pass->activation != FW_IDENTITY) {
    fw_f32x16 other;
    const bool has_other = pass->kind == FW_PASS_REDUCE && pass->other;
    if (has_other) load(&other, o->other, index, lanes);
    if (pass->activation == FW_RELU) {
      if (has_other) u = other;
      dz = FW_SELECT(u > zero, dz, zero);
    } else {
      if (has_other) u += other;
      differentiate(pass->activation, &dz, &u);
    }
  }
  if (pass->kind == FW_PASS_REDUCE) {
    if (pass->writes) store(o->out, index, lanes, &dz);
    sums[0] += dz;
    sums[1] += dz * (x - factors[FW_MEAN]);
  } else {
    const fw_f32x16 dx = dz * factors[FW_SCALE] + (x * factors[FW_SLOPE] + factors[FW_OFFSET]);
    store(o->out, index, lanes, &dx);
  }
}

FW_STEP bool sums_up(const fw_pass *pass) {
  return pass->kind == FW_PASS_STATISTICS || pass->kind == FW_PASS_REDUCE;
}

// `rows` rows, `stride` elements apart, of `width` vectors, the last of them with `lanes` elements; `together` rows are
// in flight at once, so that additions need not wait for one another. totals: [2][width * 16], added to.
FW_STEP void tile(
    const fw_pass *pass, const fw_operands *o, size_t index, size_t rows, size_t stride, size_t width, size_t together,
    size_t lanes, const float *const *factors, fw_f32x16 *totals) {
  enum { CELLS = 4 };
  fw_f32x16 f[CELLS][FW_FACTORS], sums[CELLS][2];
  FW_UNROLL for (size_t v = 0; v < width; v++) {
    FW_UNROLL for (size_t i = 0; i < FW_FACTORS; i++) {
      if (factors[i]) memcpy(&f[v][i], factors[i] + v * FW_LANES, sizeof(fw_f32x16));
    }
  }
  FW_UNROLL for (size_t cell = 0; cell < CELLS; cell++) sums[cell][0] = sums[cell][1] = (fw_f32x16){0};
  size_t row = 0;
  for (; row + together <= rows; row += together) {
    FW_UNROLL for (size_t r = 0; r < together; r++) {
      FW_UNROLL for (size_t v = 0; v < width; v++) {
        step(
            pass, o, index + (row + r) * stride + v * FW_LANES, v + 1 == width ? lanes : FW_LANES, f[v],
            sums[r * width + v]);
      }
    }
  }
  for (; row < rows; row++) {
    FW_UNROLL for (size_t v = 0; v < width; v++) {
      step(pass, o, index + row * stride + v * FW_LANES, v + 1 == width ? lanes : FW_LANES, f[v], sums[v]);
    }
  }
  if (!sums_up(pass)) return;
  FW_UNROLL for (size_t v = 0; v < width; v++) {
    FW_UNROLL for (size_t k = 0; k < 2; k++) {
      fw_f32x16 sum = sums[v][k];
      if (together == 2) sum += sums[width + v][k];
      if (together == 4) sum = (sum + sums[2 * width + v][k]) + (sums[width + v][k] + sums[3 * width + v][k]);
      totals[k * width + v] = sum;
    }
  }
}

// The sums of `count` channels from totals of [2][width * 16].
FW_STEP void add_channels(
    double *sums, size_t channels, size_t channel, size_t count, const fw_f32x16 *totals, size_t width) {
  FW_UNROLL for (size_t k = 0; k < 2; k++) {
    double *const to = sums + k * channels + channel;
    if (count < FW_LANES) {
      const float *const from = (const float *)(totals + k * width);
      FW_NO_VECTORS for (size_t i = 0; i < count; i++) to[i] += (double)from[i];
      continue;
    }
    FW_UNROLL for (size_t v = 0; v < width; v++) {
      const fw_f32x16 total = totals[k * width + v];
      fw_f64x8 old[2];
      memcpy(old, to + v * FW_LANES, sizeof old);
      old[0] += __builtin_convertvector(__builtin_shufflevector(total, total, 0, 1, 2, 3, 4, 5, 6, 7), fw_f64x8);
      old[1] += __builtin_convertvector(__builtin_shufflevector(total, total, 8, 9, 10, 11, 12, 13, 14, 15), fw_f64x8);
      memcpy(to + v * FW_LANES, old, sizeof old);
    }
  }
}

FW_STEP void blocked(const fw_image_layout *l, const fw_pass *pass, const fw_operands *o, double *sums) {
  const size_t blocks = (l->channels + FW_LANES - 1) / FW_LANES;
  size_t index = 0;
  for (size_t example = 0; example < l->examples; example++) {
    for (size_t block = 0; block < blocks; block++, index += l->area * FW_LANES) {
      const size_t channel = block * FW_LANES;
      const size_t count = l->channels - channel < FW_LANES ? l->channels - channel : FW_LANES;
      const float *factors[FW_FACTORS];
      for (size_t i = 0; i < FW_FACTORS; i++) factors[i] = o->factors[i] ? o->factors[i] + channel : NULL;
      fw_f32x16 totals[2];
      tile(pass, o, index, l->area, FW_LANES, 1, 4, FW_LANES, factors, totals);
      if (sums_up(pass)) add_channels(sums, l->channels, channel, count, totals, 1);
    }
  }
}

FW_STEP void planes(const fw_image_layout *l, const fw_pass *pass, const fw_operands *o, double *sums) {
  size_t index = 0;
  for (size_t example = 0; example < l->examples; example++) {
    for (size_t channel = 0; channel < l->channels; channel++, index += l->area) {
      float spread[FW_FACTORS][FW_LANES];
      const float *factors[FW_FACTORS];
      for (size_t i = 0; i < FW_FACTORS; i++) {
        factors[i] = o->factors[i] ? spread[i] : NULL;
        for (size_t lane = 0; lane < FW_LANES; lane++) spread[i][lane] = o->factors[i] ? o->factors[i][channel] : 0;
      }
      const size_t rows = l->area / FW_LANES, rest = l->area % FW_LANES;
      fw_f32x16 totals[2], last[2];
      tile(pass, o, index, rows, FW_LANES, 1, 4, FW_LANES, factors, totals);
      if (rest) tile(pass, o, index + rows * FW_LANES, 1, FW_LANES, 1, 1, rest, factors, last);
      if (!sums_up(pass)) continue;
      for (size_t k = 0; k < 2; k++) {
        if (rest) totals[k] += last[k];
        double sum = 0;
        for (size_t lane = 0; lane < FW_LANES; lane++) sum += (double)totals[k][lane];
        sums[k * l->channels + channel] += sum;
      }
    }
  }
}

FW_STEP void channels_last(const fw_image_layout *l, const fw_pass *pass, const fw_operands *o, double *sums) {
  enum { ROWS = 64 };
  const size_t all = l->examples * l->area, channels = l->channels;
  for (size_t row = 0; row < all; row += ROWS) {
    const size_t rows = all - row < ROWS ? all - row : ROWS;
    size_t channel = 0;
    while (channel < channels) {
      const size_t index = row * channels + channel, left = channels - channel;
      const float *factors[FW_FACTORS];
      for (size_t i = 0; i < FW_FACTORS; i++) factors[i] = o->factors[i] ? o->factors[i] + channel : NULL;
      fw_f32x16 totals[8];
      size_t count = FW_LANES;
      if (left >= 4 * FW_LANES) {
        count = 4 * FW_LANES;
        tile(pass, o, index, rows, channels, 4, 1, FW_LANES, factors, totals);
        if (sums_up(pass)) add_channels(sums, channels, channel, count, totals, 4);
      } else if (left >= 2 * FW_LANES) {
        count = 2 * FW_LANES;
        tile(pass, o, index, rows, channels, 2, 2, FW_LANES, factors, totals);
        if (sums_up(pass)) add_channels(sums, channels, channel, count, totals, 2);
      } else if (left >= FW_LANES) {
        tile(pass, o, index, rows, channels, 1, 4, FW_LANES, factors, totals);
        if (sums_up(pass)) add_channels(sums, channels, channel, count, totals, 1);
      } else {
        count = left;
        tile(pass, o, index, rows, channels, 1, 1, left, factors, totals);
        if (sums_up(pass)) add_channels(sums, channels, channel, count, totals, 1);
      }
      channel += count;
    }
  }
}

// Values near the means, around which the statistics are summed: means over up to 16 of the first example's pixels, in
// plain NCHW those that follow one another, elsewhere from all over the image.
FW_STEP void centre(const fw_image_layout *l, const void *x, float *means) {
  const size_t samples = l->area < FW_LANES ? l->area : FW_LANES;
  const float factor = 1.0f / (float)samples;
  if (l->block == 1) {
    for (size_t channel = 0; channel < l->channels; channel++) {
      fw_f32x16 values;
      load(&values, x, channel * l->area, samples);
      float sum = 0;
      for (size_t lane = 0; lane < FW_LANES; lane++) sum += values[lane];
      means[channel] = sum * factor;
    }
    return;
  }
  for (size_t channel = 0; channel < l->channels; channel += FW_LANES) {
    const size_t left = l->channels - channel, lanes = l->block == FW_LANES || left > FW_LANES ? FW_LANES : left;
    const size_t start = channel / l->block * l->block * l->area + channel % l->block;
    fw_f32x16 sum = {0};
    for (size_t i = 0; i < samples; i++) {
      fw_f32x16 values;
      load(&values, x, start + i * l->area / samples * l->block, lanes);
      sum += values;
    }
    sum *= factor;
    memcpy(means + channel, &sum, sizeof sum);
  }
}

FW_STEP void walk(const fw_image_layout *layout, const fw_pass *pass, const fw_operands *o, double *sums) {
  if (layout->block == FW_LANES) {
    blocked(layout, pass, o, sums);
  } else if (layout->block == layout->channels && layout->block > 1) {
    channels_last(layout, pass, o, sums);
  } else {
    planes(layout, pass, o, sums);
  }
}

// Makes kind and activation constants; what else is read and written is tested in the loop, for the same each time.
FW_STEP void run(
    const fw_image_layout *layout, const fw_pass *pass, const fw_operands *o, double *sums, bool specialised) {
#define FW_CASE(kind, activation) \
  do { \
    const fw_pass constant = {kind, activation, pass->other, pass->second, pass->writes}; \
    walk(layout, &constant, o, sums); \
    return; \
  } while (0)
  if (!specialised) {
    walk(layout, pass, o, sums);
    return;
  }
  switch (pass->kind) {
    case FW_PASS_STATISTICS: FW_CASE(FW_PASS_STATISTICS, FW_IDENTITY);
    case FW_PASS_APPLY:
      if (pass->activation == FW_RELU) FW_CASE(FW_PASS_APPLY, FW_RELU);
      FW_CASE(FW_PASS_APPLY, pass->activation);
    case FW_PASS_REDUCE:
      if (pass->activation == FW_RELU) FW_CASE(FW_PASS_REDUCE, FW_RELU);
      FW_CASE(FW_PASS_REDUCE, pass->activation);
    case FW_PASS_BACKWARD:
      if (pass->activation == FW_RELU) FW_CASE(FW_PASS_BACKWARD, FW_RELU);
      FW_CASE(FW_PASS_BACKWARD, FW_IDENTITY);
  }
#undef FW_CASE
}

// The entry: a statistics pass finds its centres first.
FW_STEP void enter(
    const fw_image_layout *layout, const fw_pass *pass, const fw_operands *o, double *sums, bool specialised) {
  if (pass->kind == FW_PASS_STATISTICS) centre(layout, o->x, o->out);
  run(layout, pass, o, sums, specialised);
}

// Synthetic shapes, painted row by row.
//
// Only additions, multiplications, divisions, square roots and conversions are used, each of which IEEE 754 rounds in
// one way, and none are fused: the bytes are the same on every machine.

#include <math.h>

#include "DatasetKernels.h"
#include "neural_random.h"

#pragma STDC FP_CONTRACT OFF

enum { SIDE = FW_SCENE_SIDE, NODES = FW_SCENE_NODES };

FW_INLINE float fw_smaller(float a, float b) { return a < b ? a : b; }
FW_INLINE float fw_larger(float a, float b) { return a > b ? a : b; }
FW_INLINE float fw_clamped(float value, float low, float high) { return fw_smaller(fw_larger(value, low), high); }
FW_INLINE float fw_length(float u, float v) { return sqrtf(u * u + v * v); }
// Distance from a square, or a little less near its corners.
FW_INLINE float fw_square(float u, float v, float half) { return fw_larger(fabsf(u), fabsf(v)) - half; }

// Distance from a five-pointed star: its ten corners lie at multiples of 36 degrees, on two circles.
FW_INLINE float fw_star(float u, float v, float outer) {
  const float cosine = 0.80901699f, sine = 0.58778525f;  // of 36 degrees
  // Three reflections take the whole plane into the sector between a tip (u = 0) and the next notch.
  u = fabsf(u);
  for (int fold = 0; fold < 2; fold++) {
    const float beyond = fw_larger(u * cosine - v * sine, 0);
    v = v + 2 * beyond * sine;
    u = fabsf(u - 2 * beyond * cosine);
  }
  // There the edge is one line, from (0, 1) to 0.48 (sine, cosine), times the outer radius.
  const float across = 1 - 0.48f * cosine, along = 0.48f * sine;
  return (u * across + (v - outer) * along) / sqrtf(across * across + along * along);
}

// How far a point lies outside of a shape of radius r, in pixels; negative inside. `shape` is a literal where this is
// inlined. Apart from corners these are distances, as soft edges need them.
FW_INLINE float fw_shape_distance(fw_shape shape, float u, float v, float r) {
  switch (shape) {
    case fw_shape_disc: return fw_length(u, v) - 0.95f * r;
    case fw_shape_ring: return fabsf(fw_length(u, v) - 0.75f * r) - 0.25f * r;
    case fw_shape_square: return fw_square(u, v, 0.85f * r);
    case fw_shape_frame: return fabsf(fw_square(u, v, 0.65f * r)) - 0.22f * r;
    case fw_shape_triangle: return fw_larger(v, 0.8660254f * fabsf(u) - 0.5f * v) - 0.58f * r;
    case fw_shape_cross: {
      const float a = fw_larger(fabsf(u) - r, fabsf(v) - 0.3f * r);
      const float b = fw_larger(fabsf(v) - r, fabsf(u) - 0.3f * r);
      return fw_smaller(a, b);
    }
    case fw_shape_star: return fw_star(u, v, 1.15f * r);
    case fw_shape_stripes: {
      const float bars = fw_smaller(fabsf(v), fabsf(fabsf(v) - 0.7f * r)) - 0.2f * r;
      return fw_larger(fabsf(u) - 0.9f * r, bars);
    }
    case fw_shape_checker: {
      // The middle and the corners of three by three fields.
      const float middle = fw_square(u, v, 0.31f * r);
      return fw_smaller(middle, fw_square(fabsf(u) - 0.62f * r, fabsf(v) - 0.62f * r, 0.31f * r));
    }
    case fw_shape_crescent: return fw_larger(fw_length(u, v) - r, 0.85f * r - fw_length(u - 0.5f * r, v));
  }
  return r;
}

// Coverage of the pixels of one row: their distances from the shape, softened.
FW_INLINE void fw_cover(fw_shape shape, const fw_scene *scene, float y, float *coverage, float *height) {
  const float slope = 1 / scene->softness, wide = 1 / scene->aspect, tall = 1 / scene->radius;
  for (int x = 0; x < SIDE; x++) {
    const float dx = (float)x + 0.5f - scene->x, dy = y - scene->y;
    const float u = (scene->cosine * dx + scene->sine * dy) * wide, v = scene->cosine * dy - scene->sine * dx;
    coverage[x] = fw_clamped(0.5f - fw_shape_distance(shape, u, v, scene->radius) * slope, 0, 1);
    height[x] = fw_clamped(v * tall, -1, 1);
  }
}

FW_INLINE void fw_cover_row(const fw_scene *scene, float y, float *coverage, float *height) {
  switch (scene->shape) {
    case fw_shape_disc: fw_cover(fw_shape_disc, scene, y, coverage, height); break;
    case fw_shape_ring: fw_cover(fw_shape_ring, scene, y, coverage, height); break;
    case fw_shape_square: fw_cover(fw_shape_square, scene, y, coverage, height); break;
    case fw_shape_frame: fw_cover(fw_shape_frame, scene, y, coverage, height); break;
    case fw_shape_triangle: fw_cover(fw_shape_triangle, scene, y, coverage, height); break;
    case fw_shape_cross: fw_cover(fw_shape_cross, scene, y, coverage, height); break;
    case fw_shape_star: fw_cover(fw_shape_star, scene, y, coverage, height); break;
    case fw_shape_stripes: fw_cover(fw_shape_stripes, scene, y, coverage, height); break;
    case fw_shape_checker: fw_cover(fw_shape_checker, scene, y, coverage, height); break;
    case fw_shape_crescent: fw_cover(fw_shape_crescent, scene, y, coverage, height); break;
  }
}

// weights[node][position]: of a uniform quadratic B-spline whose spans divide the side.
FW_INLINE void fw_spline_weights(float weights[NODES][SIDE]) {
  for (int position = 0; position < SIDE; position++) {
    const float along = ((float)position + 0.5f) * (float)(NODES - 2) / SIDE;
    const int span = (int)along;
    const float t = along - (float)span;
    for (int node = 0; node < NODES; node++) weights[node][position] = 0;
    weights[span][position] = 0.5f * (1 - t) * (1 - t);
    weights[span + 1][position] = 0.5f + t - t * t;
    weights[span + 2][position] = 0.5f * t * t;
  }
}

// One word of noise per pixel of a row.
FW_INLINE void fw_scene_noise(const fw_scene *scene, int row, uint32_t words[SIDE]) {
  fw_u64x8 c[4];
  for (int lane = 0; lane < 8; lane++) c[0][lane] = (uint64_t)(row * 8 + lane);
  for (int word = 0; word < 3; word++) c[word + 1] = (fw_u64x8){} + (uint64_t)scene->stream[word];
  fw_philox_rounds(c, scene->key);
  for (int word = 0; word < 4; word++) {
    for (int lane = 0; lane < 8; lane++) words[lane * 4 + word] = (uint32_t)c[word][lane];
  }
}

FW_CLONES void fw_paint_scene(const fw_scene *scene, uint8_t *image) {
  float weights[NODES][SIDE];
  fw_spline_weights(weights);
  for (int row = 0; row < SIDE; row++) {
    const float y = (float)row + 0.5f;
    float clouds[SIDE] = {0}, coverage[SIDE], height[SIDE], spots[FW_SCENE_SPOTS][SIDE];
    for (int column = 0; column < NODES; column++) {
      float node = 0;
      for (int line = 0; line < NODES; line++) node += weights[line][row] * scene->clouds[line * NODES + column];
      for (int x = 0; x < SIDE; x++) clouds[x] += node * weights[column][x];
    }
    for (int spot = 0; spot < FW_SCENE_SPOTS; spot++) {
      const fw_spot s = scene->spots[spot];
      for (int x = 0; x < SIDE; x++) {
        spots[spot][x] = fw_clamped(0.5f + s.radius - fw_length((float)x + 0.5f - s.x, y - s.y), 0, 1);
      }
    }
    fw_cover_row(scene, y, coverage, height);
    uint32_t noise[SIDE];
    fw_scene_noise(scene, row, noise);
    for (int channel = 0; channel < 3; channel++) {
      uint8_t *out = image + (channel * SIDE + row) * SIDE;
      for (int x = 0; x < SIDE; x++) {
        float value = scene->paper[channel] + clouds[x] * scene->tint[channel];
        for (int spot = 0; spot < FW_SCENE_SPOTS; spot++) {
          value += spots[spot][x] * (scene->spots[spot].color[channel] - value);
        }
        value += coverage[x] * (scene->ink[channel] + height[x] * scene->shading - value);
        const float spread = (float)(int32_t)(noise[x] >> (8 * channel) & 0xff) - 127.5f;
        value += spread * (scene->noise * (1 / 127.5f));
        out[x] = (uint8_t)(int32_t)fw_clamped(value + 0.5f, 0, 255);
      }
    }
  }
}

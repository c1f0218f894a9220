// Batch assembly, in which bytes of images become a network's input; and the painting of synthetic shapes.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// The shape of an image, and the order of its elements in a batch. Its bytes are always [channels][height][width].
typedef struct {
  size_t channels, height, width;
  /// Whether the batch has [height][width][channels]; otherwise [channels][height][width].
  bool channels_last;
} fw_image_shape;

/// Which part of an image, and which way round, goes into a batch.
///
/// The element at row y and column x of the batch's image comes from row y + row_shift and column x' + column_shift of
/// the source, where x' is width - 1 - x if `mirrored`, and x otherwise. Elements of the rectangle are zero.
typedef struct {
  /// Less than the height in either direction.
  ptrdiff_t row_shift;
  /// Less than the width in either direction.
  ptrdiff_t column_shift;
  bool mirrored;
  /// Beyond a border lies the image's reflection in its outermost row or column, which is not repeated; otherwise zero.
  bool reflected;
  /// Rows top ..< bottom and columns left ..< right of the batch's image, within it; none where the bounds are equal.
  size_t cut_top, cut_bottom, cut_left, cut_right;
} fw_image_view;

/// Writes one image: table[256 * channel + byte] for each byte, zero where the view says so. Element for element the
/// same in both orders. `out` has channels * height * width elements and overlaps nothing else.
void fw_assemble_float32(
    const fw_image_shape *shape, const fw_image_view *view, const uint8_t *pixels, const float *table, float *out);

/// The same with elements of 16 bits: bfloat16, if the table holds such.
void fw_assemble_bfloat16(
    const fw_image_shape *shape, const fw_image_view *view, const uint8_t *pixels, const uint16_t *table,
    uint16_t *out);

/// Begins to fetch bytes into the cache: the next image's, while this one is written.
void fw_fetch_bytes(const uint8_t *bytes, size_t count);

/// Height and width of a painted scene.
#define FW_SCENE_SIDE 32
/// Nodes along each side of a scene's background.
#define FW_SCENE_NODES 5
/// Spots in a scene's background.
#define FW_SCENE_SPOTS 3

/// What a scene shows.
typedef enum {
  fw_shape_disc,
  fw_shape_ring,
  fw_shape_square,
  fw_shape_frame,
  fw_shape_triangle,
  fw_shape_cross,
  fw_shape_star,
  fw_shape_stripes,
  fw_shape_checker,
  fw_shape_crescent,
} fw_shape;

/// A round spot. Lengths are in pixels.
typedef struct {
  float x, y, radius;
  float color[3];
} fw_spot;

/// A shape before a cloudy background with spots. Lengths are in pixels, brightness from 0 to 255.
typedef struct {
  fw_shape shape;
  /// The shape's middle.
  float x, y;
  /// Of the circle that the shape fits into, about.
  float radius;
  /// The shape's width in parts of its height.
  float aspect;
  /// Of the angle by which the shape is turned.
  float cosine, sine;
  /// Width of the shape's soft edge.
  float softness;
  float ink[3];
  /// Added to the ink at the shape's lower end, subtracted at its upper one.
  float shading;
  float paper[3];
  /// What clouds of 1 add to the paper.
  float tint[3];
  /// Nodes of a quadratic B-spline, row by row.
  float clouds[FW_SCENE_NODES * FW_SCENE_NODES];
  fw_spot spots[FW_SCENE_SPOTS];
  /// Largest noise.
  float noise;
  /// The noise's stream: counters that end in these three words, under this key.
  uint32_t stream[3];
  uint64_t key;
} fw_scene;

/// Paints a scene as [3][FW_SCENE_SIDE][FW_SCENE_SIDE] bytes: the same ones with every instruction set.
void fw_paint_scene(const fw_scene *scene, uint8_t *image);

#ifdef __cplusplus
}
#endif

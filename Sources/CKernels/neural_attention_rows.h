// One head's matrices: taken from where heads stand side by side, put back there, transposed.
#pragma once

#include "neural_lanes.h"

/// [rows][width] float32, every row padded to whole vectors of 8; `stride` floats from row to row.
typedef struct {
  const float *values;
  size_t stride;
} fw_head;

FW_INLINE void fw_gather(
    const void *array, fw_storage storage, size_t index, size_t stride, size_t rows, size_t width, float *copy) {
  const size_t pitch = fw_padded(width), whole = width / 8 * 8;
  for (size_t row = 0; row < rows; row++, index += stride, copy += pitch) {
    fw_f32x8 vector;
    for (size_t column = 0; column < whole; column += 8) {
      fw_load8(&vector, array, storage, index + column);
      memcpy(copy + column, &vector, sizeof vector);
    }
    if (whole < width) {
      fw_load_part8(&vector, array, storage, index + whole, width - whole);
      memcpy(copy + whole, &vector, sizeof vector);
    }
  }
}

FW_INLINE void fw_scatter(
    const float *copy, size_t rows, size_t width, void *array, fw_storage storage, size_t index, size_t stride) {
  const size_t pitch = fw_padded(width), whole = width / 8 * 8;
  for (size_t row = 0; row < rows; row++, index += stride, copy += pitch) {
    fw_f32x8 vector;
    for (size_t column = 0; column < whole; column += 8) {
      memcpy(&vector, copy + column, sizeof vector);
      fw_store8(&vector, array, storage, index + column);
    }
    if (whole < width) {
      memcpy(&vector, copy + whole, sizeof vector);
      fw_store_part8(&vector, array, storage, index + whole, width - whole);
    }
  }
}

// to[column][row] = from[row][column], the last row again for those that are not there.
FW_INLINE void fw_transpose(fw_head from, size_t count, size_t columns, float *to) {
  const size_t pitch = fw_padded(count);
  for (size_t row = 0; row < pitch; row += 8) {
    for (size_t column = 0; column < columns; column += 8) {
      fw_f32x8 r[8], t[8];
      FW_UNROLL for (size_t i = 0; i < 8; i++) {
        const size_t present = row + i < count ? row + i : count - 1;
        memcpy(&r[i], from.values + present * from.stride + column, sizeof r[i]);
      }
      // By lanes within halves of vectors, by pairs of lanes, then the halves.
      FW_UNROLL for (size_t i = 0; i < 8; i += 2) {
        t[i] = __builtin_shufflevector(r[i], r[i + 1], 0, 8, 1, 9, 4, 12, 5, 13);
        t[i + 1] = __builtin_shufflevector(r[i], r[i + 1], 2, 10, 3, 11, 6, 14, 7, 15);
      }
      FW_UNROLL for (size_t i = 0; i < 8; i += 4) {
        FW_UNROLL for (size_t j = 0; j < 2; j++) {
          r[i + 2 * j] = __builtin_shufflevector(t[i + j], t[i + j + 2], 0, 1, 8, 9, 4, 5, 12, 13);
          r[i + 2 * j + 1] = __builtin_shufflevector(t[i + j], t[i + j + 2], 2, 3, 10, 11, 6, 7, 14, 15);
        }
      }
      FW_UNROLL for (size_t i = 0; i < 4; i++) {
        t[i] = __builtin_shufflevector(r[i], r[i + 4], 0, 1, 2, 3, 8, 9, 10, 11);
        t[i + 4] = __builtin_shufflevector(r[i], r[i + 4], 4, 5, 6, 7, 12, 13, 14, 15);
      }
      FW_UNROLL for (size_t i = 0; i < 8; i++) memcpy(to + (column + i) * pitch + row, &t[i], sizeof t[i]);
    }
  }
}

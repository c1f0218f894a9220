#include "neural_small_product.h"

// Six rows of one vector each are added up in registers. AVX2 has sixteen registers of half a vector: six times two
// sums, two pieces of b and one element of a. On AVX-512, six sums hide the latency of a multiplication and addition.
enum { TILE = 6 };

#define DEFINE_TILE(NAME, VECTOR)                                                                                     \
  FW_INLINE void NAME(                                                                                                \
      size_t rows, bool transposed, size_t depth, const float *a, size_t lda, const float *b, size_t ldb, float *c,   \
      size_t ldc, bool accumulate) {                                                                                  \
    VECTOR sums[TILE] = {0}, row;                                                                                     \
    if (accumulate) {                                                                                                 \
      FW_UNROLL for (size_t r = 0; r < rows; r++) memcpy(&sums[r], c + r * ldc, sizeof row);                          \
    }                                                                                                                 \
    for (size_t k = 0; k < depth; k++) {                                                                              \
      memcpy(&row, b + k * ldb, sizeof row);                                                                          \
      FW_UNROLL for (size_t r = 0; r < rows; r++) sums[r] += row * a[transposed ? k * lda + r : r * lda + k];         \
    }                                                                                                                 \
    FW_UNROLL for (size_t r = 0; r < rows; r++) memcpy(c + r * ldc, &sums[r], sizeof row);                            \
  }

DEFINE_TILE(tile16, fw_f32x16)
DEFINE_TILE(tile8, fw_f32x8)

FW_INLINE void strip(
    size_t rows, bool transposed, size_t columns, size_t depth, const float *a, size_t lda, const float *b, size_t ldb,
    float *c, size_t ldc, bool accumulate) {
  size_t column = 0;
  for (; column + 16 <= columns; column += 16) {
    tile16(rows, transposed, depth, a, lda, b + column, ldb, c + column, ldc, accumulate);
  }
  if (column < columns) tile8(rows, transposed, depth, a, lda, b + column, ldb, c + column, ldc, accumulate);
}

FW_INLINE void product(
    bool transposed, size_t rows, size_t columns, size_t depth, const float *a, size_t lda, const float *b, size_t ldb,
    float *c, size_t ldc, bool accumulate) {
  // Strips as even as can be: 17 rows are 6 + 6 + 5, not 6 + 6 + 4 + 1.
  for (size_t strips = (rows + TILE - 1) / TILE; strips > 0; strips--) {
    const size_t height = (rows + strips - 1) / strips;
    switch (height) {
#define CASE(HEIGHT)                                                                      \
  case HEIGHT:                                                                            \
    strip(HEIGHT, transposed, columns, depth, a, lda, b, ldb, c, ldc, accumulate);        \
    break;
      CASE(1)
      CASE(2)
      CASE(3)
      CASE(4)
      CASE(5)
      CASE(6)
#undef CASE
    }
    rows -= height;
    a += transposed ? height : height * lda;
    c += height * ldc;
  }
}

FW_LEVELS void fw_small_product(
    size_t rows, size_t columns, size_t depth, const float *a, size_t lda, const float *b, size_t ldb, float *c,
    size_t ldc, bool accumulate) {
  product(false, rows, columns, depth, a, lda, b, ldb, c, ldc, accumulate);
}

FW_LEVELS void fw_small_product_transposed(
    size_t rows, size_t columns, size_t depth, const float *a, size_t lda, const float *b, size_t ldb, float *c,
    size_t ldc, bool accumulate) {
  product(true, rows, columns, depth, a, lda, b, ldb, c, ldc, accumulate);
}

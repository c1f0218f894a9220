// Products of matrices so small that they, and what they give, stay in the first-level cache.
#pragma once

#include "neural_lanes.h"

/// c[rows][columns] = a b, added to c where `accumulate` is set. a is [rows][depth], each row `lda` floats from the one
/// before; b is [depth][columns], c [rows][columns]. columns must be a multiple of 8. The terms of a sum are added in
/// order.
void fw_small_product(
    size_t rows, size_t columns, size_t depth, const float *a, size_t lda, const float *b, size_t ldb, float *c,
    size_t ldc, bool accumulate);

/// The same with a transposed: it is [depth][rows].
void fw_small_product_transposed(
    size_t rows, size_t columns, size_t depth, const float *a, size_t lda, const float *b, size_t ldb, float *c,
    size_t ldc, bool accumulate);

#include "BFloat16Kernels.h"

#define FW_MIRROR(type)                                                    \
  do {                                                                     \
    for (size_t row = 0; row < rows; row++) {                              \
      type *first = (type *)data + row * width, *last = first + width - 1; \
      for (; first < last; first++, last--) {                              \
        const type kept = *first;                                          \
        *first = *last;                                                    \
        *last = kept;                                                      \
      }                                                                    \
    }                                                                      \
  } while (0)

void fw_mirror_rows(fw_storage storage, void *data, size_t rows, size_t width) {
  if (width < 2) return;
  if (storage == FW_BFLOAT16) {
    FW_MIRROR(uint16_t);
  } else {
    FW_MIRROR(uint32_t);
  }
}

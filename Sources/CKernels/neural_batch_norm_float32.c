// The passes of batch normalisation over float32.
#define FW_ELEMENT float
#define FW_TARGET
#define FW_LOAD(to, from) memcpy(to, from, sizeof(fw_f32x16))
#define FW_STORE(to, from) memcpy(to, from, sizeof(fw_f32x16))
#include "neural_batch_norm_tiles.h"

FW_CLONES void fw_image_pass_float32(
    const fw_image_layout *layout, const fw_pass *pass, const fw_operands *operands, double *sums) {
  enter(layout, pass, operands, sums);
}

// The passes of batch normalisation over bfloat16, for any processor.
#include "neural_bfloat16.h"

#define FW_ELEMENT uint16_t
#define FW_TARGET
#define FW_LOAD(to, from) fw_load_bfloat16(to, from)
#define FW_STORE(to, from) fw_store_bfloat16(to, from)
#include "neural_batch_norm_tiles.h"

FW_CLONES void fw_image_pass_bfloat16(
    const fw_image_layout *layout, const fw_pass *pass, const fw_operands *operands, double *sums) {
  enter(layout, pass, operands, sums);
}

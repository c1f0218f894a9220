// How elements lie in memory.
#pragma once

/// Arithmetic is in float32 either way.
typedef enum {
  FW_FLOAT32 = 0,
  /// The upper half of a float32: uint16_t in C.
  FW_BFLOAT16 = 1,
} fw_storage;

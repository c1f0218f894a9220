// Loops of the transformer's layers: attention, layer normalisation, activations, dropout, rows of tokens.
//
// Arrays of activations and of their gradients are float32 or bfloat16, as `storage` says; arithmetic, statistics,
// parameters and their gradients are float32. A sum's order is fixed by the shape and the instruction set alone.
#pragma once

#include "NeuralKernels.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum { FW_FLOAT32 = 0, FW_BFLOAT16 = 1 } fw_storage;

/// Multi-head self-attention (Vaswani et al., "Attention is all you need", 2017) between its two projections.
typedef struct {
  fw_storage storage;
  size_t examples, tokens, heads;
  size_t width;  // of a head; the model's is heads * width
} fw_attention;

/// Floats that the forward pass leaves for the backward pass.
size_t fw_attention_probabilities(const fw_attention *shape);

/// Floats of workspace that either pass needs; 64-byte aligned. It grows with one example's tokens, not with their
/// square, nor with the examples.
size_t fw_attention_workspace(const fw_attention *shape);

/// dst = dropout(softmax(q k' / sqrt(width))) v, example by example and head by head.
///
/// qkv: [examples][tokens][3 * heads * width], queries, keys and values side by side, each head by head;
/// dst: [examples][tokens][heads * width]. probabilities may be NULL if no backward pass follows; their form is this
/// file's own. dropout may be NULL; element (head * tokens + query) * tokens + key of example n draws from the stream
/// of first_example + n, as fw_dropout_forward does.
void fw_attention_forward(
    const fw_attention *shape, const void *qkv, void *dst, float *probabilities, uint64_t first_example,
    const fw_dropout *dropout, float *workspace);

/// diff_qkv, shaped as qkv, from diff, shaped as dst. The mask comes with the probabilities: of `dropout`, only the
/// scale is read.
void fw_attention_backward(
    const fw_attention *shape, const void *qkv, const float *probabilities, const void *diff, void *diff_qkv,
    const fw_dropout *dropout, float *workspace);

#ifdef __cplusplus
}
#endif

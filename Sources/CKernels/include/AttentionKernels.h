// Loops of the transformer's layers: attention, layer normalisation, activations, dropout, rows of tokens.
//
// Arrays of activations and of their gradients are float32 or bfloat16, as `storage` says; arithmetic, statistics,
// parameters and their gradients are float32. A sum's order is fixed by the shape and the instruction set alone.
#pragma once

#include "KernelStorage.h"
#include "NeuralKernels.h"

#ifdef __cplusplus
extern "C" {
#endif

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

/// dst = residual + dropout(src), examples * count elements, examples in one piece each. residual may be NULL, and so
/// may dropout. Example i draws from the stream of first_example + i, as in fw_dropout_forward; the same call with the
/// gradient for src and no residual is the way back. Arrays may be the same.
void fw_dropout_add(
    fw_storage storage, const void *src, const void *residual, void *dst, size_t examples, size_t count,
    uint64_t first_example, const fw_dropout *dropout);

/// Smooth activations: x Phi(x), Phi the normal distribution (Hendrycks and Gimpel, "Gaussian error linear units",
/// 2016), exactly or as x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))); and x sigmoid(x).
typedef enum { FW_SMOOTH_GELU_ERF = 0, FW_SMOOTH_GELU_TANH = 1, FW_SMOOTH_SILU = 2 } fw_smooth;

/// dst = dropout(activation(src)); dropout may be NULL, else it is as in fw_dropout_add. derivative, unless NULL, gets
/// d dst / d src, zero where dropout struck; it may be src, and so may dst, but not both.
void fw_smooth_forward(
    fw_smooth activation, fw_storage storage, const void *src, void *dst, void *derivative, size_t examples,
    size_t count, uint64_t first_example, const fw_dropout *dropout);

/// dst = a * b, element by element: with a gradient and fw_smooth_forward's derivative, the way back. Arrays may be the
/// same.
void fw_multiply(fw_storage storage, const void *a, const void *b, void *dst, size_t count);

/// Normalises rows: dst = (src - mean) * inverse * weight + bias, inverse = 1 / sqrt(variance + epsilon) (Ba, Kiros and
/// Hinton, "Layer normalization", 2016). src and dst are [rows][width]; weight and bias [width]. mean and inverse get
/// one number a row and may both be NULL. src and dst may be the same.
void fw_layer_norm_forward(
    fw_storage storage, size_t rows, size_t width, const void *src, const float *weight, const float *bias,
    float epsilon, void *dst, float *mean, float *inverse);

/// diff_src = residual + the gradient for src, residual being a gradient that reaches src past the normalisation; it
/// may be NULL. diff_weight and diff_bias are written, not added to. diff_src may be diff or residual.
void fw_layer_norm_backward(
    fw_storage storage, size_t rows, size_t width, const void *src, const float *weight, const float *mean,
    const float *inverse, const void *diff, const void *residual, void *diff_src, float *diff_weight,
    float *diff_bias);

/// dst[n] = token, then src[n]: src is [examples][tokens][width], dst [examples][1 + tokens][width].
void fw_tokens_prepend(
    fw_storage storage, size_t examples, size_t tokens, size_t width, const float *token, const void *src, void *dst);

/// diff_src[n] = diff[n] without its first row: what fw_tokens_prepend put behind the token. The token's gradient is
/// fw_sum_over_examples(storage, examples, (1 + tokens) * width, width, diff, ...).
void fw_tokens_prepend_backward(
    fw_storage storage, size_t examples, size_t tokens, size_t width, const void *diff, void *diff_src);

/// dst[n] = src[n][token]; dst is [examples][width].
void fw_tokens_select(
    fw_storage storage, size_t examples, size_t tokens, size_t width, size_t token, const void *src, void *dst);

/// diff_src[n][token] = diff[n], and zero for the other tokens.
void fw_tokens_select_backward(
    fw_storage storage, size_t examples, size_t tokens, size_t width, size_t token, const void *diff, void *diff_src);

/// dst[n] = src[n] + table, `count` elements an example. src and dst may be the same.
void fw_add_to_examples(
    fw_storage storage, size_t examples, size_t count, const void *src, const float *table, void *dst);

/// sum[i] = src[0][i] + src[1][i] + ..., i < count, for examples `stride` elements apart; examples are added in order.
void fw_sum_over_examples(
    fw_storage storage, size_t examples, size_t stride, size_t count, const void *src, float *sum);

#ifdef __cplusplus
}
#endif

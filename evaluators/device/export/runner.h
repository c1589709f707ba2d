/* Runs any mode of a family of nested networks that shares one set of weights. C99, no heap, no
 * floating point; needs <stdint.h> alone. The family itself is in eve_model.h and eve_model.c.
 *
 * Maps are stored pixel by pixel, the channels of a pixel side by side, so that a run of input
 * channels (what a vector unit multiplies at once) is contiguous. */
#ifndef EVE_RUNNER_H
#define EVE_RUNNER_H

#include <stdint.h>

#include "eve_model.h"

#if EVE_BITS == 8
typedef int8_t eve_value;
#define EVE_LOW (-128)
#define EVE_HIGH 127
#else
typedef int16_t eve_value;
#define EVE_LOW (-32767 - 1)
#define EVE_HIGH 32767
#endif

#if EVE_SUM_BITS == 32
typedef int32_t eve_sum; /* no sum overflows: proven for these weights when they were exported */
#else
typedef int64_t eve_sum;
#endif

#if EVE_OFFSET_BITS == 16
typedef uint16_t eve_offset;
#else
typedef uint32_t eve_offset;
#endif

typedef int32_t eve_index; /* int may have 16 bits only */

enum { EVE_LAYER, EVE_RELU, EVE_MAXPOOL, EVE_AVGPOOL, EVE_FLATTEN }; /* kind of a step */
enum { EVE_PATTERN, EVE_FILTER, EVE_BLOCK, EVE_WEIGHT };             /* coding of levels */
enum { EVE_REUSE_I, EVE_REUSE_W, EVE_REUSE_O };                      /* order of the loops */

#define EVE_DIVIDE 255 /* shift of an average whose window is no power of two, or is clipped */

/* How a layer is computed in one mode. */
typedef struct {
    uint16_t rows, columns;     /* output pixels of a tile */
    uint16_t filters, channels; /* output and input channels of a tile */
    uint16_t batch;             /* tiles between two preservations of results; not used here */
    uint8_t order;              /* EVE_REUSE_... */
} eve_tiles;

/* What belongs to a convolution or linear layer. Weights of a filter are stored position by
 * position, each a run of all input channels; what no mode keeps is not stored (but for
 * EVE_WEIGHT). A linear layer has one position and one pixel. */
typedef struct {
    const eve_value *weights;
    const int32_t *bias; /* [mode][filter], on the scale of the sums */
    const eve_tiles *tiles; /* [mode] */
    /* EVE_PATTERN: kernel positions in order of the modes, sparsest first. */
    const uint8_t *orders; /* [pattern][stored] */
    const uint8_t *index;  /* [filter]: its pattern */
    const uint8_t *counts; /* [mode]: positions it keeps */
    /* EVE_FILTER, EVE_BLOCK, EVE_WEIGHT: packed levels, and where a filter's weights begin. */
    const uint8_t *codes;
    const eve_offset *first; /* [filter]; not of EVE_WEIGHT */
    uint16_t block;          /* inputs of a block */
    uint16_t blocks;         /* blocks of a filter */
    uint8_t stored;          /* positions of a pattern that are stored */
    uint8_t coding;
} eve_layer;

typedef struct {
    const eve_layer *layer; /* of EVE_LAYER */
    uint16_t in_rows, in_columns, in_channels;
    uint16_t rows, columns, channels; /* of the output */
    uint16_t kernel_rows, kernel_columns;
    uint16_t stride_rows, stride_columns;
    uint16_t pad_rows, pad_columns;
    uint8_t kind;
    uint8_t shift;         /* of sums to the right, or of an average */
    uint8_t count_padding; /* of EVE_AVGPOOL */
    uint8_t raw;           /* the last layer: its sums are the outputs */
} eve_step;

extern const eve_step eve_steps[EVE_STEPS];

/* Runs mode 1 (the sparsest) to EVE_MODES on EVE_INPUTS values, channels innermost, and writes
 * EVE_OUTPUTS values, channels outermost. Returns 0, or -1 if there is no such mode. */
int eve_run(int mode, const eve_value *input, eve_sum *output);

#endif

/* See runner.h. Extraction of a mode is the comparison of each unit's level with the mode while
 * weights stream by: once for each run of weights, not for each weight. */
#include "runner.h"

static eve_value buffers[2][EVE_MAX_VALUES];
static eve_sum sums[EVE_MAX_SUMS];
#if EVE_MAX_CURSORS > 0
static eve_offset cursors[EVE_MAX_CURSORS]; /* next stored weight of each output */
#endif

/* Pixels of a tile, and its channels. */
typedef struct {
    eve_index row, row_end, column, column_end, channel, channel_end;
} eve_area;

static eve_index least(eve_index a, eve_index b) { return a < b ? a : b; }

/* To the nearest integer, halves up. Right shifts of negative numbers are left to compilers, so
 * only others are shifted. */
static eve_sum rounded(eve_sum v, uint8_t shift) {
    if (shift == 0) return v;
    v += (eve_sum)1 << (shift - 1);
    return v < 0 ? ~(~v >> shift) : v >> shift;
}

static eve_value saturated(eve_sum v) {
    return (eve_value)(v < EVE_LOW ? EVE_LOW : v > EVE_HIGH ? EVE_HIGH : v);
}

/* Level of a unit: 1 from the sparsest mode on, 2 from the second on, ...; 0 in none. */
static int level(const uint8_t *codes, eve_index i) {
#if EVE_CODE_BITS == 2
    return (codes[i >> 2] >> ((i & 3) * 2)) & 3;
#elif EVE_CODE_BITS == 4
    return (codes[i >> 1] >> ((i & 1) * 4)) & 15;
#else
    return codes[i];
#endif
}

static eve_sum product(const eve_value *w, const eve_value *x, eve_index n) {
    eve_sum sum = 0;
    for (eve_index i = 0; i < n; i++) sum += (eve_sum)w[i] * x[i];
    return sum;
}

/* The same with a level for each weight. */
static eve_sum chosen(const eve_layer *layer, eve_index at, const eve_value *x, eve_index n,
                      int mode) {
    eve_sum sum = 0;
    for (eve_index i = 0; i < n; i++) {
        int l = level(layer->codes, at + i);
        if (l != 0 && l <= mode) sum += (eve_sum)layer->weights[at + i] * x[i];
    }
    return sum;
}

/* One run of weights, at one kernel position, against all pixels of the tile; `at` counts where
 * each weight has its level. */
static void run(const eve_step *s, const eve_value *in, const eve_value *w, eve_index at,
                eve_index position, eve_index filter, const eve_area *a, int mode) {
    eve_index n = a->channel_end - a->channel;
    eve_index up = position / s->kernel_columns - s->pad_rows;
    eve_index left = position % s->kernel_columns - s->pad_columns;
    for (eve_index r = a->row; r < a->row_end; r++) {
        eve_index y = r * s->stride_rows + up;
        if (y < 0 || y >= s->in_rows) continue;
        for (eve_index c = a->column; c < a->column_end; c++) {
            eve_index x = c * s->stride_columns + left;
            if (x < 0 || x >= s->in_columns) continue;
            const eve_value *from = in + (y * s->in_columns + x) * s->in_channels + a->channel;
            eve_sum *sum = &sums[(r * s->columns + c) * s->channels + filter];
            *sum += w ? product(w, from, n) : chosen(s->layer, at, from, n, mode);
        }
    }
}

/* One filter of a tile. */
static void filter_of_tile(const eve_step *s, const eve_value *in, eve_index m, const eve_area *a,
                           int mode) {
    const eve_layer *layer = s->layer;
    eve_index positions = (eve_index)s->kernel_rows * s->kernel_columns;
    eve_index n = s->in_channels;
    if (layer->coding == EVE_PATTERN) {
        const uint8_t *order = layer->orders + (eve_index)layer->index[m] * layer->stored;
        const eve_value *w = layer->weights + m * layer->stored * n + a->channel;
        eve_index kept = layer->counts[mode - 1];
        for (eve_index i = 0; i < kept; i++, w += n) run(s, in, w, 0, order[i], m, a, mode);
    } else if (layer->coding == EVE_FILTER) {
        int l = level(layer->codes, m);
        if (l == 0 || l > mode) return;
        const eve_value *w = layer->weights + layer->first[m] + a->channel;
        for (eve_index p = 0; p < positions; p++, w += n) run(s, in, w, 0, p, m, a, mode);
    } else if (layer->coding == EVE_BLOCK) {
#if EVE_MAX_CURSORS > 0
        int l = level(layer->codes, m * layer->blocks + a->channel / layer->block);
        if (l == 0) return;
        const eve_value *w = layer->weights + cursors[m];
        cursors[m] = (eve_offset)(cursors[m] + (a->channel_end - a->channel));
        if (l <= mode) run(s, in, w, 0, 0, m, a, mode);
#endif
    } else {
        for (eve_index p = 0; p < positions; p++)
            run(s, in, 0, (m * positions + p) * n + a->channel, p, m, a, mode);
    }
}

static void tile(const eve_step *s, const eve_value *in, eve_index r, eve_index c, eve_index m,
                 eve_index n, int mode) {
    const eve_tiles *t = &s->layer->tiles[mode - 1];
    eve_area a;
    a.row = r;
    a.row_end = least(r + t->rows, s->rows);
    a.column = c;
    a.column_end = least(c + t->columns, s->columns);
    a.channel = n;
    a.channel_end = least(n + t->channels, s->in_channels);
    eve_index end = least(m + t->filters, s->channels);
    for (; m < end; m++) filter_of_tile(s, in, m, &a, mode);
}

#define EACH(i, step, end) for (eve_index i = 0; i < (end); i += (step))

/* Sums of a layer, tile by tile, in the order of its schedule. */
static void add_products(const eve_step *s, const eve_value *in, int mode) {
    const eve_layer *layer = s->layer;
    const eve_tiles *t = &layer->tiles[mode - 1];
    const int32_t *bias = layer->bias + (eve_index)(mode - 1) * s->channels;
    EACH(p, 1, (eve_index)s->rows * s->columns)
        EACH(m, 1, s->channels) sums[p * s->channels + m] = bias[m];
#if EVE_MAX_CURSORS > 0
    if (layer->coding == EVE_BLOCK) EACH(m, 1, s->channels) cursors[m] = layer->first[m];
#endif
    if (t->order == EVE_REUSE_I) {
        EACH(r, t->rows, s->rows)
            EACH(c, t->columns, s->columns)
                EACH(n, t->channels, s->in_channels)
                    EACH(m, t->filters, s->channels) tile(s, in, r, c, m, n, mode);
    } else if (t->order == EVE_REUSE_W) {
        EACH(m, t->filters, s->channels)
            EACH(n, t->channels, s->in_channels)
                EACH(r, t->rows, s->rows)
                    EACH(c, t->columns, s->columns) tile(s, in, r, c, m, n, mode);
    } else {
        EACH(r, t->rows, s->rows)
            EACH(c, t->columns, s->columns)
                EACH(m, t->filters, s->channels)
                    EACH(n, t->channels, s->in_channels) tile(s, in, r, c, m, n, mode);
    }
}

static eve_sum average(const eve_step *s, eve_sum total, eve_index inside) {
    if (s->shift != EVE_DIVIDE) return rounded(total, s->shift);
    eve_sum n = s->count_padding ? (eve_sum)s->kernel_rows * s->kernel_columns : inside;
    eve_sum above = 2 * total + n, below = 2 * n;
    return above / below - (above % below < 0);
}

/* One output of a pool. */
static eve_value pooled(const eve_step *s, const eve_value *in, eve_index r, eve_index c,
                        eve_index channel) {
    eve_index top = r * s->stride_rows - s->pad_rows;
    eve_index left = c * s->stride_columns - s->pad_columns;
    eve_index bottom = least(top + s->kernel_rows, s->in_rows);
    eve_index right = least(left + s->kernel_columns, s->in_columns);
    if (top < 0) top = 0;
    if (left < 0) left = 0;
    eve_sum total = 0;
    eve_value most = EVE_LOW;
    for (eve_index y = top; y < bottom; y++)
        for (eve_index x = left; x < right; x++) {
            eve_value v = in[(y * s->in_columns + x) * s->in_channels + channel];
            total += v;
            if (v > most) most = v;
        }
    if (s->kind == EVE_MAXPOOL) return most;
    return (eve_value)average(s, total, (bottom - top) * (right - left));
}

/* Every step but layers, from `in` to `out`. */
static void move(const eve_step *s, const eve_value *in, eve_value *out) {
    eve_index channels = s->in_channels, pixels = (eve_index)s->in_rows * s->in_columns;
    if (s->kind == EVE_RELU) {
        EACH(i, 1, channels * pixels) out[i] = in[i] < 0 ? 0 : in[i];
    } else if (s->kind == EVE_FLATTEN) {
        EACH(p, 1, pixels) EACH(c, 1, channels) out[c * pixels + p] = in[p * channels + c];
    } else {
        EACH(r, 1, s->rows)
            EACH(c, 1, s->columns)
                EACH(k, 1, channels) *out++ = pooled(s, in, r, c, k);
    }
}

int eve_run(int mode, const eve_value *input, eve_sum *output) {
    if (mode < 1 || mode > EVE_MODES) return -1;
    const eve_value *in = input;
    const eve_step *s = eve_steps;
    int free = 0;
    for (int i = 0; i < EVE_STEPS; i++) {
        s = &eve_steps[i];
        eve_value *out = buffers[free];
        if (s->kind == EVE_LAYER) {
            add_products(s, in, mode);
            if (s->raw) break;
            EACH(k, 1, (eve_index)s->rows * s->columns * s->channels)
                out[k] = saturated(rounded(sums[k], s->shift));
        } else {
            move(s, in, out);
        }
        in = out;
        free = 1 - free;
    }
    eve_index pixels = (eve_index)s->rows * s->columns;
    EACH(p, 1, pixels)
        EACH(c, 1, s->channels) {
            eve_index from = p * s->channels + c;
            output[c * pixels + p] = s->raw ? sums[from] : in[from];
        }
    return 0;
}

/* Reads images as integers from standard input, channels innermost, and prints the outputs of a
 * mode, one line for each image: `eve MODE < inputs.txt`. */
#include <stdio.h>
#include <stdlib.h>

#include "runner.h"

static eve_value input[EVE_INPUTS];
static eve_sum output[EVE_OUTPUTS];

int main(int count, char **words) {
    int mode = count == 2 ? atoi(words[1]) : 0;
    long v;
    int32_t read = 0;
    if (mode < 1 || mode > EVE_MODES) {
        fprintf(stderr, "usage: eve MODE < inputs (MODE 1, the sparsest, to %d)\n", EVE_MODES);
        return 2;
    }
    while (scanf("%ld", &v) == 1) {
        if (v < EVE_LOW || v > EVE_HIGH) {
            fprintf(stderr, "input %ld does not fit %d bits\n", v, EVE_BITS);
            return 1;
        }
        input[read++] = (eve_value)v;
        if (read < EVE_INPUTS) continue;
        read = 0;
        if (eve_run(mode, input, output) != 0) return 1;
        for (int32_t i = 0; i < EVE_OUTPUTS; i++)
            printf("%lld%c", (long long)output[i], i + 1 < EVE_OUTPUTS ? ' ' : '\n');
    }
    if (read != 0 || !feof(stdin)) {
        fprintf(stderr, "input is no whole number of images of %d values\n", EVE_INPUTS);
        return 1;
    }
    return 0;
}

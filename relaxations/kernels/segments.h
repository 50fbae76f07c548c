/* The greatest F = σ(x)·tanh(y) - a·x - b·y on line segments. */

#ifndef RELAXATIONS_SEGMENTS_H
#define RELAXATIONS_SEGMENTS_H

#include "curves.h"

/* From (x, y) to (x + dx, y + dy), dx >= 0; `fourth` bounds the fourth derivative of F along the whole of it. */
struct segment {
    double x, y, dx, dy, fourth;
};

struct segment relaxations_segment(double x, double y, double dx, double dy);

/* An upper bound over up to four segments and of `best`, a value that is known to be reached; its place nearly so.
 * `close` tells whether it is as close as wanted. */
struct support relaxations_greatest(double a, double b, const struct segment *segments, int count, struct support best,
                                    int *close);

#endif

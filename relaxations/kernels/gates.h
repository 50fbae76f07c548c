/* The gates that have a compiled form, as one table: what `planes.c` and `slopes.c` need to know of each. */

#ifndef RELAXATIONS_GATES_H
#define RELAXATIONS_GATES_H

#include <stddef.h>

#include "curves.h"

enum { OPERANDS = 3, INTERVALS = CURVE_INTERVALS };

/* How a gate is made of the curves of its operands: v0, v0·v1, (1 - v0)·v1 + v0·v2. */
enum made { ALONE, PRODUCT, BLEND };

/* The box of a gate: lower[k], upper[k]. */
struct box {
    double lower[OPERANDS], upper[OPERANDS];
};

struct interval {
    double lower, upper;
};

struct cut;

/* The curve of an operand is NULL for the operand itself.  `image`, `support` and `magnitude` are as in
 * relaxations/gate.py, without the margin.  `polygon` is the support over a part of the box, with the margin, or
 * infinity where it has none; `close` tells whether it is as close as wanted.  NULL where there is no such function. */
struct gate {
    const char *name;
    ptrdiff_t arity;
    enum made made;
    const struct curve *curve[OPERANDS];
    struct interval (*image)(const struct gate *, const struct box *);
    struct support (*support)(const struct gate *, double scale, const double *slope, const struct box *);
    double (*magnitude)(const struct gate *, const struct box *);
    struct support (*polygon)(double scale, const double *slope, const struct box *, const struct cut *, int *close);
};

/* The row of a name, NULL where there is none. */
const struct gate *relaxations_gate(const char *name);

/* Slopes [2][arity] of a lower and an upper plane of nearly least volume, for the target `shift` [arity]. */
void relaxations_slopes(const struct gate *gate, const struct box *box, const double *shift,
                        double slopes[2][OPERANDS]);

/* At most `steps` exchanges of the simplex method of relaxations/slopes/simplex.py for one instance, against `count` points
 * [k][POINTS] with values, both up to a multiple of LANES: `pad` fills the rest. */
enum { SIZE = OPERANDS + 2, POINTS = 512, LANES = 8 };

struct points {
    double at[OPERANDS][POINTS], value[POINTS];
};

struct basis {
    double table[SIZE][SIZE], at[OPERANDS][OPERANDS + 1];
};

ptrdiff_t relaxations_pad(struct points *points, ptrdiff_t k, ptrdiff_t count);
void relaxations_exchanges(struct basis *basis, const struct points *points, ptrdiff_t k, ptrdiff_t padded,
                           double tolerance, ptrdiff_t steps);

#endif

/* What slopes over boxes and over polygons have in common. */

#ifndef RELAXATIONS_SLOPES_H
#define RELAXATIONS_SLOPES_H

#include "gates.h"

enum { MOST_NODES = INTERVALS + 1, STAGES = LEAST_VOLUME_STAGES_COUNT };
enum { COARSE_STEPS = LEAST_VOLUME_COARSE_STEPS, FINE_STEPS = LEAST_VOLUME_FINE_STEPS };
static const double STAGE[STAGES] = LEAST_VOLUME_STAGES;
static const double AROUND[] = LEAST_VOLUME_AROUND; /* places around a point of contact, for two operands or more */

/* A box, widened where it is thinner than rounding errors, as the grid sees it: p = centre ± half·v for every operand,
 * the values of its curve (NULL for the operand itself) at the nodes, of which the first and the last are the ends of
 * the box, and at the centre; the spacing of the grid in v. */
struct view {
    const struct gate *gate;
    struct box box;
    double (*curve[OPERANDS])(double);
    double centre[OPERANDS], half[OPERANDS], spacing[OPERANDS], middle[OPERANDS];
    ptrdiff_t count[OPERANDS];
    double nodes[OPERANDS][MOST_NODES], values[OPERANDS][MOST_NODES];
};

struct view relaxations_view(const struct gate *gate, const struct box *box);

/* `reach` [k]: half, or -half where sign·gate falls, so that the target is on the positive side. */
void relaxations_face(const struct view *view, double sign, double reach[OPERANDS]);

/* The first basis, of k + 1 corners with the given values. */
void relaxations_start(struct basis *basis, ptrdiff_t k, const double *values, const double *target);

/* Values v0, v0·v1, (1 - v0)·v1 + v0·v2 of curves as a gate's. */
static inline double gate_value(enum made made, const double *v)
{
    return made == ALONE ? v[0] : made == PRODUCT ? v[0] * v[1] : (1 - v[0]) * v[1] + v[0] * v[2];
}

static inline double number_or_zero(double slope)
{
    return isfinite(slope) ? slope : 0.0;
}

#endif

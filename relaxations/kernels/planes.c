/* What relaxations/kernels/adapters.py asks of a gate, by its name in the table, over arrays of boxes [k, n] of double: one box after the other, so that an
 * answer depends on its own box alone.  All return 0, or 1 where there is no such gate or some box is none (lower > upper,
 * NaN, or wider than `widest`): then the results are not to be used. */

#include "polygon.h"

static int get_box(struct box *box, const double *lower, const double *upper, double widest, ptrdiff_t k, ptrdiff_t n,
                   ptrdiff_t i)
{
    int good = 1;
    for (ptrdiff_t j = 0; j < k; j++) {
        box->lower[j] = lower[j * n + i];
        box->upper[j] = upper[j * n + i];
        const double width = box->upper[j] - box->lower[j];
        good &= width >= 0 && width <= widest;
    }
    return good;
}

/* The support of scale·(g - slope·p) with its margin: 256u·M, M = max|g| + Σ|aₖ|max|pₖ|, covers what the sums and
 * products of `support` round, as derived in relaxations/rounding.py (curves.h has the errors of the functions).
 * Overflow and NaN end as infinity, which bounds everything. */
static struct support bounded(const struct gate *gate, double scale, const double *slope, const struct box *box)
{
    double scaled[OPERANDS], size = gate->magnitude(gate, box);
    for (ptrdiff_t j = 0; j < gate->arity; j++) {
        scaled[j] = scale * slope[j];
        size += fabs(slope[j]) * reach(box->lower[j], box->upper[j]);
    }
    struct support found = gate->support(gate, scale, scaled, box);
    found.value += margin(size);
    if (!isfinite(found.value))
        found.value = INFINITY;
    for (ptrdiff_t j = 0; j < gate->arity; j++)
        found.at[j] = between(found.at[j], box->lower[j], box->upper[j]);
    return found;
}

/* The same over the part of the box that a trimmed octagon leaves. */
static struct support cut_bounded(const struct gate *gate, double scale, const double *slope, const struct box *box,
                                  const struct cut *cut)
{
    const double scaled[] = {scale * slope[0], scale * slope[1]};
    int close;
    struct support found = gate->polygon(scale, scaled, box, cut, &close);
    if (!close) {
        const struct support whole = bounded(gate, scale, slope, box);
        if (!(found.value <= whole.value))
            return whole;
    }
    for (ptrdiff_t j = 0; j < 2; j++)
        found.at[j] = between(found.at[j], box->lower[j], box->upper[j]);
    return found;
}

/* The octagon of box i, of its members [8, n]. */
static struct cut get_cut(const double *cuts, const struct box *box, ptrdiff_t n, ptrdiff_t i)
{
    const double *c = cuts + i;
    const struct cut given = {{c[0], c[n]}, {c[2 * n], c[3 * n]}, {c[4 * n], c[5 * n]}, {c[6 * n], c[7 * n]}};
    return relaxations_trimmed(&given, box);
}

/* Offsets [n] of planes of given slopes [k, n], below the gate where `scale` is -1, above it where it is 1, and the
 * places [k, n] where they are attained.  `scale` has n numbers, or with `step` 0 one.  `cuts` is NULL or has for gates
 * with a `polygon` the members of `struct cut`, in their order, [8, n]; 1 for other gates. */
int relaxations_offsets(const char *name, ptrdiff_t n, const double *lower, const double *upper, double widest,
                        const double *cuts, const double *scale, ptrdiff_t step, const double *slopes,
                        double *offsets, double *places)
{
    const struct gate *gate = relaxations_gate(name);
    if (!gate || (cuts && !gate->polygon))
        return 1;
    for (ptrdiff_t i = 0; i < n; i++) {
        struct box box;
        double slope[OPERANDS];
        if (!get_box(&box, lower, upper, widest, gate->arity, n, i))
            return 1;
        for (ptrdiff_t j = 0; j < gate->arity; j++)
            slope[j] = slopes[j * n + i];
        const double sign = scale[i * step] < 0 ? -1.0 : 1.0;
        struct support found;
        if (cuts) {
            const struct cut cut = get_cut(cuts, &box, n, i);
            found = cut_bounded(gate, sign, slope, &box, &cut);
        } else {
            found = bounded(gate, sign, slope, &box);
        }
        offsets[i] = sign * found.value;
        for (ptrdiff_t j = 0; j < gate->arity; j++)
            places[j * n + i] = found.at[j];
    }
    return 0;
}

/* Lower and upper planes of nearly least volume, slopes [2, k, n] and offsets [2, n]; with `single` slopes are floats,
 * for which the offsets then hold.  `shift` [k] as in `relaxations_slopes`, `cuts` as above. */
int relaxations_planes(const char *name, ptrdiff_t n, const double *lower, const double *upper, double widest,
                       const double *cuts, const double *shift, int single, double *slopes, double *offsets)
{
    const struct gate *gate = relaxations_gate(name);
    if (!gate || (cuts && !gate->polygon))
        return 1;
    const ptrdiff_t k = gate->arity;
    for (ptrdiff_t i = 0; i < n; i++) {
        struct box box;
        double slope[2][OPERANDS];
        if (!get_box(&box, lower, upper, widest, k, n, i))
            return 1;
        struct cut cut = {{0}, {0}, {0}, {0}};
        const int polygon = cuts && relaxations_thick(&box); /* else too thin to be cut */
        if (polygon) {
            cut = get_cut(cuts, &box, n, i);
            relaxations_polygon_slopes(gate, &box, &cut, shift, slope);
        } else {
            relaxations_slopes(gate, &box, shift, slope);
        }
        for (int plane = 0; plane < 2; plane++) {
            const double sign = plane ? 1.0 : -1.0;
            for (ptrdiff_t j = 0; j < k; j++) {
                const double rounded = single ? (double)(float)slope[plane][j] : slope[plane][j];
                slope[plane][j] = isfinite(rounded) ? rounded : 0.0;
                slopes[(plane * k + j) * n + i] = slope[plane][j];
            }
            const struct support found = polygon ? cut_bounded(gate, sign, slope[plane], &box, &cut)
                                                 : bounded(gate, sign, slope[plane], &box);
            offsets[plane * n + i] = sign * found.value;
        }
    }
    return 0;
}

/* Least and greatest values [n] of the gate over boxes. */
int relaxations_image(const char *name, ptrdiff_t n, const double *lower, const double *upper, double widest,
                      double *low, double *high)
{
    const struct gate *gate = relaxations_gate(name);
    if (!gate)
        return 1;
    for (ptrdiff_t i = 0; i < n; i++) {
        struct box box;
        if (!get_box(&box, lower, upper, widest, gate->arity, n, i))
            return 1;
        const struct interval found = gate->image(gate, &box);
        low[i] = isnan(found.lower) ? -INFINITY : found.lower;
        high[i] = isnan(found.upper) ? INFINITY : found.upper;
    }
    return 0;
}

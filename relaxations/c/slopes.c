/* `minimum_volume` of relaxations/slopes.py for one box of a gate that is made of curves: a grid, then finer grids
 * around the points of contact.  Curves are evaluated once per node of an operand, not once per point.  Any slope is
 * sound; which one comes out depends on the box alone. */

#include <string.h>

#include "gates.h"

enum { COARSE_STEPS = 8, FINE_STEPS = 12, MOST_NODES = 7 };
static const double LEAST_WIDTH = 1e-6;
static const double STAGES[] = {0.5, 0.2};

/* Places by arity around a point of contact, as PATTERN in slopes.py. */
static const double ALONG[] = {-1.5, -0.9, -0.4, 0.0, 0.4, 0.9, 1.5}, AROUND[] = {-1.0, 0.0, 1.0}, HERE[] = {0.0};

/* Corners of the first basis, [k][vertex], and the inverse of the matrix with columns (corner, 1). */
static const double CORNERS[][OPERANDS][OPERANDS + 1] = {
    {{1, -1}},
    {{1, -1, 1}, {-1, 1, 1}},
    {{1, 1, -1, -1}, {1, -1, 1, -1}, {1, -1, -1, 1}},
};
static const double INVERSE[][OPERANDS + 1][OPERANDS + 1] = {
    {{0.5, 0.5}, {-0.5, 0.5}},
    {{0, -0.5, 0.5}, {-0.5, 0, 0.5}, {0.5, 0.5, 0}},
    {{0.25, 0.25, 0.25, 0.25}, {0.25, -0.25, -0.25, 0.25}, {-0.25, 0.25, -0.25, 0.25}, {-0.25, -0.25, 0.25, 0.25}},
};

/* One operand of the box, seen from the plane at hand: p = centre + reach·v. */
struct axis {
    double (*value)(double);
    double centre, reach, spacing;
};

/* Coordinates v and values of the operand's curve at them. */
struct line {
    ptrdiff_t count;
    double at[MOST_NODES], value[MOST_NODES];
};

static double curve_value(double (*value)(double), double p)
{
    return value ? value(p) : p;
}

static double gate_value(enum made made, const double *v)
{
    return made == ALONE ? v[0] : made == PRODUCT ? v[0] * v[1] : (1 - v[0]) * v[1] + v[0] * v[2];
}

/* Append the points of the grid of `lines`, values times `sign`, to `to`; returns how many there are now. */
static ptrdiff_t add_grid(struct points *to, ptrdiff_t count, enum made made, ptrdiff_t k, const struct line *lines,
                          double sign, double *largest)
{
    const ptrdiff_t second = k > 1 ? lines[1].count : 1, third = k > 2 ? lines[2].count : 1;
    double v[OPERANDS] = {0};
    for (ptrdiff_t i = 0; i < lines[0].count; i++)
        for (ptrdiff_t j = 0; j < second; j++)
            for (ptrdiff_t l = 0; l < third; l++, count++) {
                const ptrdiff_t at[] = {i, j, l};
                for (ptrdiff_t n = 0; n < k; n++) {
                    to->at[n][count] = lines[n].at[at[n]];
                    v[n] = lines[n].value[at[n]];
                }
                to->value[count] = sign * gate_value(made, v);
                *largest = larger(*largest, fabs(to->value[count]));
            }
    return count;
}

/* Nodes of an operand: its ends, and INTERVALS - 1 evenly over the part of it where the curve bends. */
static ptrdiff_t nodes_of(const struct curve *curve, double lower, double upper, double *nodes)
{
    if (!curve) {
        nodes[0] = lower;
        nodes[1] = upper;
        return 2;
    }
    double low = larger(lower, -curve->core), high = smaller(upper, curve->core);
    if (!(high > low)) {
        low = lower;
        high = upper;
    }
    nodes[0] = lower;
    for (int i = 1; i < INTERVALS; i++) {
        const double share = (double)i / INTERVALS;
        nodes[i] = share < 0.5 ? low + share * (high - low) : high - (high - low) * (1 - share);
    }
    nodes[INTERVALS] = upper;
    return INTERVALS + 1;
}

static void start(struct basis *basis, ptrdiff_t k, const double *values, const double *target)
{
    memset(basis, 0, sizeof *basis);
    for (ptrdiff_t j = 0; j <= k; j++) {
        double *row = basis->table[j];
        memcpy(row, INVERSE[k - 1][j], sizeof INVERSE[0][0]);
        row[k + 1] = row[k];
        for (ptrdiff_t i = 0; i < k; i++) {
            row[k + 1] += row[i] * target[i];
            basis->at[i][j] = CORNERS[k - 1][i][j];
        }
        for (ptrdiff_t c = 0; c < k + 2; c++)
            basis->table[k + 1][c] += row[c] * values[j];
    }
}

/* A grid of `share` of the spacing around every point of contact, appended to the points. */
static ptrdiff_t refine(struct points *points, ptrdiff_t count, const struct basis *basis, const struct gate *gate,
                        const struct axis *axes, double share, double sign, double *largest)
{
    const ptrdiff_t k = gate->arity;
    for (ptrdiff_t contact = 0; contact <= k; contact++) {
        struct line lines[OPERANDS];
        for (ptrdiff_t n = 0; n < k; n++) {
            const struct axis *axis = &axes[n];
            const double *pattern = !axis->value ? HERE : k == 1 ? ALONG : AROUND;
            lines[n].count = !axis->value ? 1 : k == 1 ? MOST_NODES : 3;
            for (ptrdiff_t i = 0; i < lines[n].count; i++) {
                const double at = basis->at[n][contact] + share * axis->spacing * pattern[i];
                lines[n].at[i] = between(at, -1.0, 1.0);
                lines[n].value[i] = curve_value(axis->value, axis->centre + axis->reach * lines[n].at[i]);
            }
        }
        count = add_grid(points, count, gate->made, k, lines, sign, largest);
    }
    return count;
}

void relaxations_slopes(const struct gate *gate, const struct box *box, const double *shift,
                        double slopes[2][OPERANDS])
{
    const ptrdiff_t k = gate->arity;
    struct axis axes[OPERANDS];
    struct line lines[OPERANDS];
    struct points points;
    double nodes[OPERANDS][MOST_NODES], middle[OPERANDS] = {0}, ends[OPERANDS][2], reaches[OPERANDS];
    for (ptrdiff_t n = 0; n < k; n++) {
        /* boxes of at least a small width, so that slopes are differences of more than rounding errors */
        double lower = box->lower[n], upper = box->upper[n];
        const double least = 0.5 * LEAST_WIDTH * larger(fabs(lower + upper), 2.0);
        const double extra = larger(0.5 * (least - (upper - lower)), 0.0);
        lower -= extra;
        upper += extra;
        struct axis *axis = &axes[n];
        axis->value = gate->curve[n] ? gate->curve[n]->value : NULL;
        axis->centre = 0.5 * (lower + upper);
        reaches[n] = 0.5 * (upper - lower);
        lines[n].count = nodes_of(gate->curve[n], lower, upper, nodes[n]);
        for (ptrdiff_t i = 0; i < lines[n].count; i++)
            lines[n].value[i] = curve_value(axis->value, nodes[n][i]);
        ends[n][0] = lines[n].value[0];
        ends[n][1] = lines[n].value[lines[n].count - 1];
        middle[n] = curve_value(axis->value, axis->centre);
        axis->spacing = axis->value ? (nodes[n][INTERVALS - 1] - nodes[n][1]) / (INTERVALS - 2) / reaches[n] : 0.0;
    }
    for (int plane = 0; plane < 2; plane++) {
        /* The lower plane is the upper one of -g.  Every operand in which the plane's own function falls is mirrored,
         * so that the target is on the positive side. */
        const double sign = plane ? 1.0 : -1.0;
        int falls[OPERANDS];
        for (ptrdiff_t n = 0; n < k; n++) {
            double at[OPERANDS];
            memcpy(at, middle, sizeof at);
            at[n] = ends[n][0];
            const double behind = gate_value(gate->made, at);
            at[n] = ends[n][1];
            falls[n] = (gate_value(gate->made, at) < behind) == (sign > 0);
            axes[n].reach = falls[n] ? -reaches[n] : reaches[n];
            for (ptrdiff_t i = 0; i < lines[n].count; i++)
                lines[n].at[i] = (nodes[n][i] - axes[n].centre) / axes[n].reach;
        }
        double largest = 0.0, corners[OPERANDS + 1];
        for (ptrdiff_t j = 0; j <= k; j++) {
            double at[OPERANDS] = {0};
            for (ptrdiff_t n = 0; n < k; n++)
                at[n] = ends[n][(CORNERS[k - 1][n][j] > 0) != falls[n]];
            corners[j] = sign * gate_value(gate->made, at);
        }
        struct basis basis;
        start(&basis, k, corners, shift);
        const ptrdiff_t grid = add_grid(&points, 0, gate->made, k, lines, sign, &largest);
        relaxations_exchanges(&basis, &points, k, relaxations_pad(&points, k, grid), largest, COARSE_STEPS);
        for (size_t stage = 0; stage < sizeof STAGES / sizeof *STAGES; stage++) {
            double here = largest;
            const ptrdiff_t all = refine(&points, grid, &basis, gate, axes, STAGES[stage], sign, &here);
            relaxations_exchanges(&basis, &points, k, relaxations_pad(&points, k, all), here, FINE_STEPS);
        }
        for (ptrdiff_t n = 0; n < k; n++) {
            const double slope = sign * basis.table[k + 1][n] / axes[n].reach;
            slopes[plane][n] = isfinite(slope) ? slope : 0.0;
        }
    }
}

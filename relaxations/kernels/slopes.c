/* `minimum_volume` of relaxations/slopes/least_volume.py for one box of a gate that is made of curves: a grid, then finer grids
 * around the points of contact.  Curves are evaluated once per node of an operand, not once per point.  Any slope is
 * sound; which one comes out depends on the box alone. */

#include <string.h>

#include "slopes.h"

static const double LEAST_WIDTH = LEAST_VOLUME_LEAST_WIDTH;

/* Places around a point of contact for one operand, and for one that is only linear. */
static const double ALONG[] = LEAST_VOLUME_ALONG, HERE[] = {0.0};

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

/* Coordinates v and values of the operand's curve at them. */
struct line {
    ptrdiff_t count;
    double at[MOST_NODES], value[MOST_NODES];
};

static double curve_value(double (*value)(double), double p)
{
    return value ? value(p) : p;
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

void relaxations_start(struct basis *basis, ptrdiff_t k, const double *values, const double *target)
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

struct view relaxations_view(const struct gate *gate, const struct box *box)
{
    struct view view = {.gate = gate, .box = *box};
    for (ptrdiff_t n = 0; n < gate->arity; n++) {
        double *const lower = &view.box.lower[n], *const upper = &view.box.upper[n];
        const double least = 0.5 * LEAST_WIDTH * larger(fabs(*lower + *upper), 2.0);
        const double extra = larger(0.5 * (least - (*upper - *lower)), 0.0);
        *lower -= extra;
        *upper += extra;
        view.curve[n] = gate->curve[n] ? gate->curve[n]->value : NULL;
        view.centre[n] = 0.5 * (*lower + *upper);
        view.half[n] = 0.5 * (*upper - *lower);
        view.count[n] = nodes_of(gate->curve[n], *lower, *upper, view.nodes[n]);
        for (ptrdiff_t i = 0; i < view.count[n]; i++)
            view.values[n][i] = curve_value(view.curve[n], view.nodes[n][i]);
        view.middle[n] = curve_value(view.curve[n], view.centre[n]);
        if (view.curve[n])
            view.spacing[n] = (view.nodes[n][INTERVALS - 1] - view.nodes[n][1]) / (INTERVALS - 2) / view.half[n];
    }
    return view;
}

static double end_of(const struct view *view, ptrdiff_t n, int upper)
{
    return view->values[n][upper ? view->count[n] - 1 : 0];
}

void relaxations_face(const struct view *view, double sign, double reach[OPERANDS])
{
    for (ptrdiff_t n = 0; n < view->gate->arity; n++) {
        double at[OPERANDS];
        memcpy(at, view->middle, sizeof at);
        at[n] = end_of(view, n, 0);
        const double behind = gate_value(view->gate->made, at);
        at[n] = end_of(view, n, 1);
        const int falls = gate_value(view->gate->made, at) < behind;
        reach[n] = falls == (sign > 0) ? -view->half[n] : view->half[n];
    }
}

/* A grid of `share` of the spacing around every point of contact, appended to the points. */
static ptrdiff_t refine(struct points *points, ptrdiff_t count, const struct basis *basis, const struct view *view,
                        const double *reach, double share, double sign, double *largest)
{
    const ptrdiff_t k = view->gate->arity;
    for (ptrdiff_t contact = 0; contact <= k; contact++) {
        struct line lines[OPERANDS];
        for (ptrdiff_t n = 0; n < k; n++) {
            const double *pattern = !view->curve[n] ? HERE : k == 1 ? ALONG : AROUND;
            lines[n].count = !view->curve[n] ? 1 : k == 1 ? MOST_NODES : 3;
            for (ptrdiff_t i = 0; i < lines[n].count; i++) {
                const double at = between(basis->at[n][contact] + share * view->spacing[n] * pattern[i], -1.0, 1.0);
                lines[n].at[i] = at;
                lines[n].value[i] = curve_value(view->curve[n], view->centre[n] + reach[n] * at);
            }
        }
        count = add_grid(points, count, view->gate->made, k, lines, sign, largest);
    }
    return count;
}

void relaxations_slopes(const struct gate *gate, const struct box *box, const double *shift,
                        double slopes[2][OPERANDS])
{
    const ptrdiff_t k = gate->arity;
    const struct view view = relaxations_view(gate, box);
    struct points points;
    for (int plane = 0; plane < 2; plane++) {
        /* the lower plane is the upper one of -g */
        const double sign = plane ? 1.0 : -1.0;
        double reach[OPERANDS], corners[OPERANDS + 1], largest = 0.0;
        struct line lines[OPERANDS];
        struct basis basis;
        relaxations_face(&view, sign, reach);
        for (ptrdiff_t n = 0; n < k; n++) {
            lines[n].count = view.count[n];
            for (ptrdiff_t i = 0; i < view.count[n]; i++) {
                lines[n].at[i] = (view.nodes[n][i] - view.centre[n]) / reach[n];
                lines[n].value[i] = view.values[n][i];
            }
        }
        for (ptrdiff_t j = 0; j <= k; j++) {
            double at[OPERANDS] = {0};
            for (ptrdiff_t n = 0; n < k; n++)
                at[n] = end_of(&view, n, CORNERS[k - 1][n][j] * reach[n] > 0);
            corners[j] = sign * gate_value(gate->made, at);
        }
        relaxations_start(&basis, k, corners, shift);
        const ptrdiff_t grid = add_grid(&points, 0, gate->made, k, lines, sign, &largest);
        relaxations_exchanges(&basis, &points, k, relaxations_pad(&points, k, grid), largest, COARSE_STEPS);
        for (int stage = 0; stage < STAGES; stage++) {
            double here = largest;
            const ptrdiff_t all = refine(&points, grid, &basis, &view, reach, STAGE[stage], sign, &here);
            relaxations_exchanges(&basis, &points, k, relaxations_pad(&points, k, all), here, FINE_STEPS);
        }
        for (ptrdiff_t n = 0; n < k; n++)
            slopes[plane][n] = number_or_zero(sign * basis.table[k + 1][n] / reach[n]);
    }
}

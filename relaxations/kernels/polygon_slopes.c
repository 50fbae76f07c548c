/* `minimum_volume` of relaxations/slopes/least_volume.py for one polygon: the grid of the box, moved into the polygon, and points of
 * its outline.  Any slope is sound. */

#include "polygon.h"
#include "slopes.h"

enum { RIM = LEAST_VOLUME_RIM }; /* points on each side */
static const double FAR = LEAST_VOLUME_FAR, TOUCH = POLYGON_TOUCH;

struct place {
    double x, y;
};

/* A polygon with what moving a place into it needs: the ends of x; heights at the frame's centre and slope of the two
 * lower edges (falling, rising) and of the two upper ones. */
struct shape {
    const struct box *box;
    const struct cut *cut;
    struct unit unit;
    struct side sides[SIDES];
    double left, right, below[2], above[2], ratio;
};

static struct shape shape_of(const struct box *box, const struct cut *cut)
{
    struct shape shape = {.box = box, .cut = cut, .unit = relaxations_unit(box, cut)};
    const struct unit *const unit = &shape.unit;
    const double *const s = cut->sum, *const d = cut->apart;
    relaxations_sides(unit, cut, shape.sides);
    const double first = larger(larger(unit->low[0], s[0] - unit->high[1]),
                                larger(d[0] + unit->low[1], 0.5 * (s[0] + d[0])));
    const double last = smaller(smaller(unit->high[0], s[1] - unit->low[1]),
                                smaller(d[1] + unit->high[1], 0.5 * (s[1] + d[1])));
    shape.left = between(cut->centre[0] + cut->half[0] * first, box->lower[0], box->upper[0]);
    shape.right = larger(between(cut->centre[0] + cut->half[0] * last, box->lower[0], box->upper[0]), shape.left);
    shape.ratio = cut->half[0] > 0 && cut->half[1] > 0 ? cut->half[1] / cut->half[0] : 0.0;
    shape.below[0] = cut->centre[1] + cut->half[1] * s[0];
    shape.below[1] = cut->centre[1] - cut->half[1] * d[1];
    shape.above[0] = cut->centre[1] + cut->half[1] * s[1];
    shape.above[1] = cut->centre[1] - cut->half[1] * d[0];
    return shape;
}

/* Moved into the polygon, along x and then along y. */
static struct place project(const struct shape *shape, double x, double y)
{
    x = between(x, shape->left, shape->right);
    const double rise = shape->ratio * (x - shape->cut->centre[0]);
    const double bottom = larger(larger(shape->below[0] - rise, shape->below[1] + rise), shape->box->lower[1]);
    const double top = smaller(smaller(shape->above[0] - rise, shape->above[1] + rise), shape->box->upper[1]);
    return (struct place){x, smaller(larger(y, bottom), top)};
}

/* The ends (û, v̂) of a side, counter-clockwise. */
static void ends_of(const struct shape *shape, int i, struct place ends[2])
{
    const struct side *const side = &shape->sides[i];
    const double *const s = shape->cut->sum, *const d = shape->cut->apart;
    const double other = i < 4 ? side->other : i < 6 ? s[i - 4] - side->last : side->last - d[i - 6];
    const int upright = i == 2 || i == 3, back = i == 1 || i == 2 || i == 5 || i == 6;
    ends[back] = upright ? (struct place){side->other, side->first} : (struct place){side->first, side->other};
    ends[!back] = upright ? (struct place){other, side->last} : (struct place){side->last, other};
}

/* By Green's theorem along the sides, in the frame; the centre of the box where there is no area. */
static struct place centroid(const struct shape *shape)
{
    const struct unit *const unit = &shape->unit;
    const double u = 0.5 * (unit->low[0] + unit->high[0]), v = 0.5 * (unit->low[1] + unit->high[1]);
    double area = 0, moment_u = 0, moment_v = 0;
    for (int i = 0; i < SIDES; i++) {
        if (!shape->sides[i].present)
            continue;
        struct place end[2];
        ends_of(shape, i, end);
        const double u0 = end[0].x - u, v0 = end[0].y - v, u1 = end[1].x - u, v1 = end[1].y - v;
        const double turn = u0 * v1 - u1 * v0;
        area += turn;
        moment_u += (u0 + u1) * turn;
        moment_v += (v0 + v1) * turn;
    }
    if (!(area > TOUCH * ((unit->high[0] - unit->low[0]) * (unit->high[1] - unit->low[1]))))
        return (struct place){u, v};
    return (struct place){u + moment_u / (3 * area), v + moment_v / (3 * area)};
}

/* The centroid, moved by `shift` half-widths of the box in the directions of `reach`, but at most half way to an edge,
 * in multiples of `reach` from the centre of the box. */
static void target(const struct shape *shape, const struct view *view, const double *shift, const double *reach,
                   double found[2])
{
    const struct box *const box = shape->box;
    const struct cut *const cut = shape->cut;
    const struct place middle = centroid(shape);
    double at[2] = {middle.x, middle.y}, move[2], frame[2], rate[2], share = 1.0;
    for (int n = 0; n < 2; n++) {
        at[n] = between(cut->centre[n] + cut->half[n] * at[n], box->lower[n], box->upper[n]);
        move[n] = shift[n] * reach[n];
        frame[n] = number_or_zero((at[n] - cut->centre[n]) / cut->half[n]);
        rate[n] = number_or_zero(move[n] / cut->half[n]);
    }
    const double sums[] = {frame[0] + frame[1], -frame[0] - frame[1], frame[0] - frame[1], frame[1] - frame[0]};
    const double rates[] = {rate[0] + rate[1], -rate[0] - rate[1], rate[0] - rate[1], rate[1] - rate[0]};
    const double ends[] = {cut->sum[1], -cut->sum[0], cut->apart[1], -cut->apart[0]};
    for (int i = 0; i < 4; i++)
        if (rates[i] > 0)
            share = smaller(0.5 * (ends[i] - sums[i]) / rates[i], share);
    share = larger(share, 0.0);
    for (int n = 0; n < 2; n++)
        found[n] = (at[n] + share * move[n] - view->centre[n]) / reach[n];
}

static double value_at(const struct view *view, struct place p)
{
    const double x = view->curve[0] ? view->curve[0](p.x) : p.x, y = view->curve[1] ? view->curve[1](p.y) : p.y;
    const double values[OPERANDS] = {x, y};
    return gate_value(view->gate->made, values);
}

/* The grid, and then the rim: places and values of the gate; returns how many are of the grid. */
static ptrdiff_t points_of(const struct view *view, const struct shape *shape, struct place *places, double *values,
                           ptrdiff_t *all)
{
    ptrdiff_t count = 0;
    for (ptrdiff_t i = 0; i < view->count[0]; i++)
        for (ptrdiff_t j = 0; j < view->count[1]; j++, count++) {
            places[count] = project(shape, view->nodes[0][i], view->nodes[1][j]);
            const int same = places[count].x == view->nodes[0][i] && places[count].y == view->nodes[1][j];
            const double known[OPERANDS] = {view->values[0][i], view->values[1][j]};
            values[count] = same ? gate_value(view->gate->made, known) : value_at(view, places[count]);
        }
    const ptrdiff_t grid = count;
    for (int part = 0; part < RIM; part++)
        for (int i = 0; i < SIDES; i++, count++) {
            struct place end[2];
            ends_of(shape, i, end);
            const double share = (double)part / RIM;
            const double u = end[0].x + (end[1].x - end[0].x) * share, v = end[0].y + (end[1].y - end[0].y) * share;
            places[count] = project(shape, shape->cut->centre[0] + shape->cut->half[0] * u,
                                    shape->cut->centre[1] + shape->cut->half[1] * v);
            values[count] = value_at(view, places[count]);
        }
    *all = count;
    return grid;
}

static void add(struct points *points, ptrdiff_t index, const struct view *view, const double *reach, struct place p,
                double value, double *largest)
{
    points->at[0][index] = (p.x - view->centre[0]) / reach[0];
    points->at[1][index] = (p.y - view->centre[1]) / reach[1];
    points->value[index] = value;
    *largest = larger(*largest, fabs(value));
}

void relaxations_polygon_slopes(const struct gate *gate, const struct box *box, const struct cut *cut,
                                const double *shift, double slopes[2][OPERANDS])
{
    enum { MOST = MOST_NODES * MOST_NODES + SIDES * RIM };
    const struct view view = relaxations_view(gate, box);
    const struct shape shape = shape_of(&view.box, cut);
    struct points points;
    struct place places[MOST];
    double values[MOST];
    ptrdiff_t all;
    const ptrdiff_t grid = points_of(&view, &shape, places, values, &all);
    for (int plane = 0; plane < 2; plane++) {
        const double sign = plane ? 1.0 : -1.0;
        double reach[OPERANDS], goal[2], top = -INFINITY, bottom = INFINITY, largest = 0.0;
        struct basis basis;
        relaxations_face(&view, sign, reach);
        for (ptrdiff_t i = 0; i < all; i++) {
            add(&points, i, &view, reach, places[i], sign * values[i], &largest);
            if (i < grid) {
                top = larger(sign * values[i], top);
                bottom = smaller(sign * values[i], bottom);
            }
        }
        /* the corners may be cut off: far below the gate, they leave the basis as soon as they can */
        const double far = bottom - FAR * (top - bottom), corners[] = {far, far, far};
        target(&shape, &view, shift, reach, goal);
        relaxations_start(&basis, 2, corners, goal);
        relaxations_exchanges(&basis, &points, 2, relaxations_pad(&points, 2, all), largest, 2 * COARSE_STEPS);
        for (int stage = 0; stage < STAGES; stage++) {
            ptrdiff_t count = all;
            double here = largest;
            for (int contact = 0; contact < 3; contact++)
                for (int i = 0; i < 3; i++)
                    for (int j = 0; j < 3; j++, count++) {
                        double near[] = {AROUND[i], AROUND[j]};
                        for (int n = 0; n < 2; n++) {
                            near[n] = basis.at[n][contact] + STAGE[stage] * view.spacing[n] * near[n];
                            near[n] = view.centre[n] + reach[n] * between(near[n], -1.0, 1.0);
                        }
                        const struct place p = project(&shape, near[0], near[1]);
                        add(&points, count, &view, reach, p, sign * value_at(&view, p), &here);
                    }
            relaxations_exchanges(&basis, &points, 2, relaxations_pad(&points, 2, count), here, FINE_STEPS);
        }
        for (int n = 0; n < 2; n++)
            slopes[plane][n] = number_or_zero(sign * basis.table[3][n] / reach[n]);
    }
}

/* The support of σ(x)·tanh(y) over polygons, by their sides and the one local maximum that there can be inside: the
 * steps of relaxations/polygons/sigmoid_tanh.py, which has the proof.  scale = -1 is the problem with y mirrored. */

#include "polygon.h"
#include "segments.h"
#include "sigmoid_tanh.h"

static const double APART = POLYGONS_SIGMOID_TANH_APART; /* rounding of x and y on the arc, relative and absolute */

static void swap(double *a, double *b)
{
    const double held = *a;
    *a = *b;
    *b = held;
}

/* Of y' = -y:  û + v̂' = û - v̂. */
static void mirror(struct box *box, struct cut *cut)
{
    const double low = box->lower[1];
    box->lower[1] = -box->upper[1];
    box->upper[1] = -low;
    cut->centre[1] = -cut->centre[1];
    for (int j = 0; j < 2; j++)
        swap(&cut->sum[j], &cut->apart[j]);
}

/* On a side of the box, a little longer than it is: the support of a curve. */
static struct support straight(double a, double b, const struct box *box, const struct cut *cut, int which,
                               const struct side *side)
{
    const int along = which < 2 ? 0 : 1, other = 1 - along; /* y or x is constant */
    const double fixed = which % 2 ? box->upper[other] : box->lower[other];
    const double outward = (16 * UNIT) * (fabs(cut->centre[along]) + reach(box->lower[along], box->upper[along]));
    const double low = box->lower[along], high = box->upper[along];
    const double start = between(cut->centre[along] + cut->half[along] * side->first - outward, low, high);
    const double stop = between(cut->centre[along] + cut->half[along] * side->last + outward, low, high);
    struct support found = along == 0 ? curve_support(&SIGMOID, tanh(fixed), a, start, larger(start, stop))
                                      : curve_support(&TANH, sigmoid(fixed), b, start, larger(start, stop));
    found.value -= (along == 0 ? b : a) * fixed;
    found.at[along] = found.at[0];
    found.at[other] = fixed;
    return found;
}

/* Whether a bracket of the root of G proves that the local maximum is not in the polygon. */
static int outside(double a, double b, const struct root *root, const struct unit *unit, const struct cut *cut)
{
    const double wide = 2 * root->move + 1e-10 * smaller(root->s, root->rest);
    const double s[] = {larger(root->s - wide, root->least), smaller(root->s + wide, root->first)};
    double u[2], v[2];
    int seen = 1;
    for (int end = 0; end < 2; end++) {
        const double rest = root->rest + (root->s - s[end]);
        const struct slope g = relaxations_arc_slope(a, b, 0.0, s[end], rest);
        const double error = (64 * UNIT) * (1 + g.steep);
        seen &= end ? g.value < -error || s[end] >= root->first : g.value > error || s[end] <= root->least;
        const double x = log(s[end] / rest), y = relaxations_on_arc(b, s[end]), off = end ? APART : -APART;
        u[end] = (x + off * (1 + fabs(x)) - cut->centre[0]) / cut->half[0];
        v[end] = (y + off * (1 + fabs(y)) - cut->centre[1]) / cut->half[1];
    }
    return seen && (u[0] + v[0] > cut->sum[1] || u[1] + v[1] < cut->sum[0] || u[0] - v[1] > cut->apart[1] ||
                    u[1] - v[0] < cut->apart[0] || u[0] > unit->high[0] || u[1] < unit->low[0] ||
                    v[0] > unit->high[1] || v[1] < unit->low[1]);
}

struct support relaxations_sigmoid_tanh_polygon(double scale, const double *slope, const struct box *box_given,
                                                const struct cut *cut_given, int *close)
{
    struct box box = *box_given;
    struct cut cut = *cut_given;
    const double a = slope[0], b = scale * slope[1];
    if (scale < 0)
        mirror(&box, &cut);
    const struct unit unit = relaxations_unit(&box, &cut);
    struct side sides[SIDES];
    relaxations_sides(&unit, &cut, sides);
    struct support found = {-INFINITY, {box.lower[0], box.lower[1]}};
    int present = 0, slanted = 0;
    for (int i = 0; i < 4; i++)
        if (sides[i].present)
            found = most(found, straight(a, b, &box, &cut, i, &sides[i]));
    const double x[] = {box.lower[0], box.upper[0]}, y[] = {box.lower[1], box.upper[1]};
    const struct arc arc = relaxations_arc(b, x, y);
    if (arc.present && !(a < 0)) {
        const struct root root = relaxations_larger_root(a, b, 0.0, tanh(y[1]), &arc);
        if (!(root.s <= root.least || root.rising || outside(a, b, &root, &unit, &cut)))
            found = most(found, root.psi);
    }
    struct segment segments[4];
    for (int i = 4; i < SIDES; i++)
        if (sides[i].present) {
            const double width = larger(sides[i].last - sides[i].first, 0.0), sign = i < 6 ? -1.0 : 1.0;
            segments[slanted++] = relaxations_segment(
                cut.centre[0] + cut.half[0] * sides[i].first, cut.centre[1] + cut.half[1] * sides[i].other,
                cut.half[0] * width, sign * (cut.half[1] * width));
        }
    for (int i = 0; i < SIDES; i++)
        present |= sides[i].present;
    found = relaxations_greatest(a, b, segments, slanted, found, close);
    /* |∂F| <= 1 + |slope|, and places err by few units of all that they are computed from */
    const double size[] = {fabs(cut.centre[0]) + 2 * cut.half[0] + reach(x[0], x[1]),
                           fabs(cut.centre[1]) + 2 * cut.half[1] + reach(y[0], y[1])};
    found.value += margin(1 + (1 + fabs(a)) * size[0] + (1 + fabs(b)) * size[1]);
    if (!relaxations_thick(&box) || !present || !isfinite(found.value)) {
        found.value = INFINITY;
        *close = 0;
    }
    found.at[1] *= scale;
    return found;
}

/* The support of σ(x)·(tanh(y) - h), h a constant of the box: equations and proofs in relaxations/products/arc.py
 * and relaxations/products/sigmoid_tanh.py, whose steps these are.  F = σ(x)(tanh y - h) - a·x - b·y has its greatest value on
 * an edge y = const, a curve of x, or on the arc y = artanh t(s), t(s) = sqrt(1 - b/s), s = σ(x). */

#include "sigmoid_tanh.h"

enum { NEWTON = SIGMOID_TANH_NEWTON, PARTS = BILINEAR_PARTS };

struct height {
    double t, share; /* tanh y and 1 - tanh² y on the arc */
};

static struct height height(double b, double s)
{
    const double share = between(b / s, 1e-300, 1.0);
    return (struct height){sqrt(1 - share), share};
}

double relaxations_on_arc(double b, double s)
{
    const struct height at = height(b, s);
    return log1p(at.t) - 0.5 * log(at.share);
}

struct slope relaxations_arc_slope(double a, double b, double h, double s, double rest)
{
    const struct height at = height(b, s);
    const double product = s * rest, steep = a / product;
    const double rise = at.share / (2 * s * larger(at.t, LEAST)) + steep * ((rest - s) / product);
    return (struct slope){at.t - h - steep, steep, rise};
}

struct arc relaxations_arc(double b, const double x[2], const double y[2])
{
    struct arc arc = {0, x[0], x[0], larger(y[0], 0.0), y[1]};
    if (b > 0 && y[1] > 0) {
        /* it meets y where s = b / (1 - tanh² y), x = log(s / (1 - s)) */
        const double enters = log(b / larger(tanh_slope(arc.low) - b, 0.0));
        const double leaves = log(b / larger(tanh_slope(y[1]) - b, 0.0));
        arc.present = enters <= x[1] && leaves >= x[0];
        if (arc.present) {
            arc.left = between(enters, x[0], x[1]);
            arc.right = between(leaves, arc.left, x[1]);
        }
    }
    return arc;
}

static struct support psi(double a, double b, double h, double s, double x, double y, double more)
{
    return (struct support){s * (tanh(y) - h) - a * x - b * y + more, {x, y}};
}

static double error_of(double h, double steep)
{
    return (64 * UNIT) * (1 + fabs(h) + fabs(steep));
}

/* Newton's method on the concave G from the right of its larger root.  At any s where it stops concavity gives the
 * remainders of sigmoid_tanh.py: G < 0 leaves |G|·(s - least), G > 0 leaves G·(first - s). */
struct root relaxations_larger_root(double a, double b, double h, double top, const struct arc *arc)
{
    const double place = sigmoid_inverse(larger(a, 0.0) / larger(top, LEAST));
    const double start = a < 0 ? arc->right : between(place, arc->left, arc->right);
    const struct logistic begin = logistic(start);
    struct root root = {.s = larger(begin.s, LEAST), .rest = larger(begin.rest, LEAST)};
    const double last = root.rest;
    root.first = root.s;
    root.least = a < 0 ? root.first : larger(sigmoid(arc->left), LEAST);
    struct slope g = relaxations_arc_slope(a, b, h, root.s, root.rest);
    root.rising = g.value >= -error_of(h, g.steep);
    for (int step = 0; step < NEWTON; step++) {
        root.move = g.value < 0 ? smaller(g.value / smaller(g.rise, -LEAST), root.s - root.least) : 0.0;
        if (!(g.value < 0))
            break;
        root.s -= root.move;
        root.rest += root.move;
        g = relaxations_arc_slope(a, b, h, root.s, root.rest);
    }
    /* NaN where G is */
    const double remainder = g.value > 0 ? g.value * (root.first - root.s) : -g.value * (root.s - root.least);
    const double wide = error_of(h, g.steep) * (root.first - root.least);
    const double x = root.rest > last ? between(log(root.s / root.rest), arc->left, start) : start;
    const double y = between(relaxations_on_arc(b, root.s), arc->low, arc->high);
    root.psi = psi(a, b, h, root.s, x, y, remainder + wide);
    return root;
}

/* What `larger_root` leaves, the part x <= 0 of the arc where a < 0 and h > tanh y, by chords of the convex function
 * H(s) = max over y of s·tanh y - b·y, as in relaxations/products/bilinear.py: over one interval of x,
 * F <= max over its ends of H - β·s, plus the support of (β - h)·σ, for any β. */
static struct support chords(double a, double b, double h, const struct arc *arc)
{
    const double right = smaller(arc->right, 0.0), steepest = reach(tanh(arc->low), tanh(arc->high));
    struct support found = {-INFINITY, {arc->left, arc->low}};
    const double low = larger(arc->left, -SIGMOID.core) < right ? larger(arc->left, -SIGMOID.core) : arc->left;
    double x0 = arc->left, s0 = sigmoid(x0), inner0 = curve_support(&TANH, s0, b, arc->low, arc->high).value;
    for (int part = 1; part <= PARTS; part++) {
        const double x1 = part == PARTS ? right : between(low + (right - low) * part / PARTS, x0, right);
        const double s1 = sigmoid(x1), inner1 = curve_support(&TANH, s1, b, arc->low, arc->high).value;
        const double beta = s1 == s0 ? 0.0 : between((inner1 - inner0) / (s1 - s0), -steepest, steepest);
        const double left_end = inner0 - beta * s0, right_end = inner1 - beta * s1;
        struct support outer = curve_support(&SIGMOID, beta - h, a, x0, x1);
        outer.value += left_end > right_end || isnan(left_end) ? left_end : right_end;
        found = most(found, outer);
        x0 = x1;
        s0 = s1;
        inner0 = inner1;
    }
    found.at[1] = curve_support(&TANH, sigmoid(found.at[0]), b, arc->low, arc->high).at[0];
    return found;
}

struct support relaxations_sigmoid_tanh(double scale, double a, double b, const double x[2], const double y[2],
                                        double h)
{
    /* -σ(x)(tanh(y) - h) = σ(x)(tanh(-y) + h): the sign moves into y, b and h */
    const double y0 = scale > 0 ? y[0] : -y[1], y1 = scale > 0 ? y[1] : -y[0];
    const double top = tanh(y1) - scale * h;
    b *= scale;
    h *= scale;
    struct support found = curve_support(&SIGMOID, tanh(y0) - h, a, x[0], x[1]);
    found.value -= b * y0;
    found.at[1] = y0;
    struct support edge = curve_support(&SIGMOID, top, a, x[0], x[1]);
    edge.value -= b * y1;
    edge.at[1] = y1;
    found = most(found, edge);
    const double ends[] = {y0, y1};
    const struct arc arc = relaxations_arc(b, x, ends);
    if (arc.present) {
        const double s = larger(sigmoid(arc.left), LEAST);
        const double y_left = between(relaxations_on_arc(b, s), arc.low, arc.high);
        found = most(found, psi(a, b, h, s, arc.left, y_left, 0.0));
        found = most(found, relaxations_larger_root(a, b, h, top, &arc).psi);
        if (a < 0 && arc.left < 0 && h > 0 && height(b, s).t < h)
            found = most(found, chords(a, b, h, &arc));
    }
    found.at[1] *= scale;
    return found;
}

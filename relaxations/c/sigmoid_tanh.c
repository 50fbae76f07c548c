/* The support of σ(x)·(tanh(y) - h), h a constant of the box: equations and proofs in relaxations/sigmoid_product.py
 * and relaxations/sigmoid_tanh.py, whose steps these are.  F = σ(x)(tanh y - h) - a·x - b·y has its greatest value on an
 * edge y = const, a curve of x, or on the arc y = artanh t(s), t(s) = sqrt(1 - b/s), s = σ(x). */

#include "gates.h"

enum { NEWTON = 4, PARTS = 8 };
static const double LEAST = 1e-150;

/* The stationary points in y inside the box: x from `left` to `right`, y from `low` to `high`, rising with x. */
struct arc {
    double left, right, low, high;
};

struct height {
    double t, share; /* tanh y and 1 - tanh² y on the arc */
};

static struct height height(double b, double s)
{
    const double share = between(b / s, 1e-300, 1.0);
    return (struct height){sqrt(1 - share), share};
}

static double on_arc(double b, double s, const struct arc *arc)
{
    const struct height at = height(b, s);
    return between(log1p(at.t) - 0.5 * log(at.share), arc->low, arc->high);
}

/* G(s), its last term, and G'(s), at s = 1 - rest */
struct slope {
    double value, steep, rise;
};

static struct slope slope(double a, double b, double h, double s, double rest)
{
    const struct height at = height(b, s);
    const double product = s * rest, steep = a / product;
    const double rise = at.share / (2 * s * larger(at.t, LEAST)) + steep * ((rest - s) / product);
    return (struct slope){at.t - h - steep, steep, rise};
}

static struct support psi(double a, double b, double h, double s, double x, double y, double more)
{
    return (struct support){s * (tanh(y) - h) - a * x - b * y + more, {x, y}};
}

/* An upper bound of Ψ over the arc but its left end; for a >= 0, and for a < 0 where Ψ rises or is convex.
 * Newton's method on the concave G from the right of its larger root.  At any s where it stops concavity gives the
 * remainders of sigmoid_tanh.py: G < 0 leaves |G|·(s - least), G > 0 leaves G·(first - s); `wide` is the error of G. */
static struct support larger_root(double a, double b, double h, double top, const struct arc *arc)
{
    const double root = sigmoid_inverse(larger(a, 0.0) / larger(top, LEAST));
    const double start = a < 0 ? arc->right : between(root, arc->left, arc->right);
    const struct logistic begin = logistic(start);
    const double first = larger(begin.s, LEAST), last = larger(begin.rest, LEAST);
    const double least = a < 0 ? first : larger(sigmoid(arc->left), LEAST);
    double s = first, rest = last;
    struct slope g = slope(a, b, h, s, rest);
    for (int step = 0; step < NEWTON && g.value < 0; step++) {
        const double move = smaller(g.value / smaller(g.rise, -LEAST), s - least);
        s -= move;
        rest += move;
        g = slope(a, b, h, s, rest);
    }
    const double wide = (64 * UNIT) * (1 + fabs(h) + fabs(g.steep)) * (first - least);
    const double left_over = g.value > 0 ? g.value * (first - s) : -g.value * (s - least); /* NaN where G is */
    const double x = rest > last ? between(log(s / rest), arc->left, start) : start;
    return psi(a, b, h, s, x, on_arc(b, s, arc), left_over + wide);
}

/* What `larger_root` leaves, the part x <= 0 of the arc where a < 0 and h > tanh y, by chords of the convex function
 * H(s) = max over y of s·tanh y - b·y, as in relaxations/bilinear.py: over one interval of x,
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

struct support sigmoid_tanh_support(double scale, double a, double b, const double x[2], const double y[2], double h)
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
    if (b > 0 && y1 > 0) {
        /* the arc meets y where s = b / (1 - tanh² y), x = log(s / (1 - s)) */
        struct arc arc = {0, 0, larger(y0, 0.0), y1};
        const double enters = log(b / larger(tanh_slope(arc.low) - b, 0.0));
        const double leaves = log(b / larger(tanh_slope(y1) - b, 0.0));
        if (enters <= x[1] && leaves >= x[0]) {
            arc.left = between(enters, x[0], x[1]);
            arc.right = between(leaves, arc.left, x[1]);
            const double s = larger(sigmoid(arc.left), LEAST);
            found = most(found, psi(a, b, h, s, arc.left, on_arc(b, s, &arc), 0.0));
            found = most(found, larger_root(a, b, h, top, &arc));
            if (a < 0 && arc.left < 0 && h > 0 && height(b, s).t < h)
                found = most(found, chords(a, b, h, &arc));
        }
    }
    found.at[1] *= scale;
    return found;
}

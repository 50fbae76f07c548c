/* Parts of the support of σ(x)·(tanh(y) - h), for boxes and for polygons; see relaxations/products/sigmoid_tanh.py.
 *
 * The arc is the curve y = artanh t(s), t(s) = sqrt(1 - b/s), s = σ(x), of points that are stationary in y; along it
 * Ψ(s) = σ(x)(tanh y - h) - a·x - b·y has the derivative G(s) = t(s) - h - a / (s(1 - s)). */

#ifndef RELAXATIONS_SIGMOID_TANH_H
#define RELAXATIONS_SIGMOID_TANH_H

#include "curves.h"

static const double LEAST = ARC_LEAST;

/* The part of it inside a box: x from `left` to `right`, y from `low` to `high`, rising with x. */
struct arc {
    int present;
    double left, right, low, high;
};

/* G(s), its last term, and G'(s), at s = 1 - rest */
struct slope {
    double value, steep, rise;
};

/* Where Newton's method came towards the larger root of G; where it started, `first`, and the arc's least s; its last
 * move; whether G >= 0 at the start, up to rounding; and an upper bound of Ψ over the arc but its left end. */
struct root {
    double s, rest, first, least, move;
    int rising;
    struct support psi;
};

struct arc relaxations_arc(double b, const double x[2], const double y[2]);
double relaxations_on_arc(double b, double s); /* y */
struct slope relaxations_arc_slope(double a, double b, double h, double s, double rest);

/* For a >= 0, and for a < 0 where Ψ rises or is convex; `top` = tanh(arc->high) - h. */
struct root relaxations_larger_root(double a, double b, double h, double top, const struct arc *arc);

/* An upper bound of scale·σ(x)(tanh(y) - h) - a·x - b·y over a box, scale = 1 or -1, and its place (x, y). */
struct support relaxations_sigmoid_tanh(double scale, double a, double b, const double x[2], const double y[2],
                                        double h);

#endif

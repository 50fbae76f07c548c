/* The curves σ and tanh, and the support of either: what compiled supports of gates are built from.
 *
 * Arithmetic.  u = 2^-53.  + - * / sqrt err by at most u relative; a compiler that contracts a product and a sum rounds
 * less.  exp, log, log1p and tanh of the C library are assumed to err by at most 2 units in the last place, 4u of a
 * normal result (glibc documents at most 2, other libraries stay below that), and by less than TINY below the normal
 * range.  Then with e = exp(-|x|) <= 1, whose error counts at most half in 1 + e,
 *
 *     1 / (1 + e)          errs by (4/2 + 1) + 1 = 4u        e / (1 + e)      by 4 + 4 = 8u
 *     e / ((1 + e)(1 + e)) errs by 4 + 2(4/2 + 1) + 2 = 12u
 *
 * so σ and tanh keep to the 8u, and their derivatives to the 16u, on which the margin in `relaxations.rounding` and
 * DERIVATIVE_ERROR in `relaxations.curves.curve` are built: both are used here as they are.
 *
 * NaN.  A bound is the greatest of several numbers, and one that is NaN must not be lost to a comparison: `most` keeps
 * it, and a bound that ends as NaN is given out as infinity.  Places that are NaN or infinite are moved into the box by
 * `between`; any place is sound. */

#ifndef RELAXATIONS_CURVES_H
#define RELAXATIONS_CURVES_H

#include <math.h>

#include "constants.h"

#define UNIT ROUNDING_UNIT
#define TINY ROUNDING_TINY
#define DERIVATIVE_ERROR CURVE_DERIVATIVE_ERROR

static inline double larger(double a, double b)
{
    return a > b ? a : b;
}

static inline double smaller(double a, double b)
{
    return a < b ? a : b;
}

/* x moved into [lower, upper]; lower for NaN. */
static inline double between(double x, double lower, double upper)
{
    return smaller(larger(x, lower), upper);
}

/* max |x| over [lower, upper] */
static inline double reach(double lower, double upper)
{
    return larger(fabs(lower), fabs(upper));
}

static inline double margin(double magnitude)
{
    return magnitude * (256 * UNIT) + TINY;
}

/* Upper bounds and the places [3] where they are attained. */
struct support {
    double value, at[3];
};

/* The greater of two upper bounds; NaN, if either is. */
static inline struct support most(struct support a, struct support b)
{
    return b.value > a.value || isnan(b.value) ? b : a;
}

/* σ(x), and 1 - σ(x) without cancellation */
struct logistic {
    double s, rest;
};

static inline struct logistic logistic(double x)
{
    const double e = exp(-fabs(x)), large = 1 / (1 + e), small = e / (1 + e);
    return x >= 0 ? (struct logistic){large, small} : (struct logistic){small, large};
}

static inline double sigmoid(double x)
{
    const double e = exp(-fabs(x));
    return (x >= 0 ? 1 : e) / (1 + e);
}

static inline double sigmoid_slope(double x)
{
    const double e = exp(-fabs(x));
    return e / ((1 + e) * (1 + e));
}

/* The x >= 0 with σ'(x) = q: σ(-x) = 2q / (1 + sqrt(1 - 4q)); infinite for q <= 0. */
static inline double sigmoid_inverse(double q)
{
    const double kept = q > 0 ? smaller(q, 0.25) : 0.0, rest = 2 * kept / (1 + sqrt(1 - 4 * kept));
    return log((1 - rest) / rest);
}

static inline double tanh_slope(double x)
{
    return 4 * sigmoid_slope(2 * x);
}

static inline double tanh_inverse(double q)
{
    return 0.5 * sigmoid_inverse(0.25 * q);
}

/* An increasing odd function plus a constant, convex left of 0 and concave right of it; where to spend nodes. */
struct curve {
    double (*value)(double), (*slope)(double), (*inverse)(double), core;
};

/* An upper bound of scale·g(x) - slope·x, as `s_shaped` of relaxations/curves/curve.py has it.  With the sign of scale moved
 * into x, scale·g is concave on [left, right], the part of the box where x >= 0, and convex on the other.  The convex
 * part has its maximum at its ends, the box's or `left`.  On the concave part the tangent at any t bounds F: with
 * r = F'(t),  F <= F(t) + max(r·(right - t), r·(left - t)),  r widened by the error of the derivative.  t is the closed
 * form of F'(t) = 0 up to rounding, moved into the part.  Where the part is a point, t is an end: nothing is added. */
static inline struct support curve_support(const struct curve *of, double scale, double slope, double lower,
                                           double upper)
{
    const int rises = scale >= 0;
    const double right = rises ? upper : -lower, left = smaller(larger(rises ? lower : -upper, 0.0), right);
    struct support found = {scale * of->value(lower) - slope * lower, {lower}};
    found = most(found, (struct support){scale * of->value(upper) - slope * upper, {upper}});
    if (left < right) {
        const double t = between(of->inverse(slope / (scale == 0 ? 1.0 : scale)), left, right), at = rises ? t : -t;
        const double steepness = scale * of->slope(at), residual = rises ? steepness - slope : slope - steepness;
        const double error = (DERIVATIVE_ERROR * UNIT) * (fabs(steepness) + fabs(slope));
        const double beyond = (residual + error) * (right - t), before = (error - residual) * (t - left);
        const double over = beyond > before || isnan(beyond) ? beyond : before;
        found = most(found, (struct support){scale * of->value(at) - slope * at + over, {at}});
    }
    return found;
}

static const struct curve SIGMOID = {sigmoid, sigmoid_slope, sigmoid_inverse, SIGMOID_CORE};
static const struct curve TANH = {tanh, tanh_slope, tanh_inverse, TANH_CORE};

#endif

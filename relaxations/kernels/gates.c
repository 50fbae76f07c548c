/* Images and supports of the gates of recurrent cells. A gate is one row of the table at the end, and has its name in
 * the `compiled` of its entry in relaxations/gates. */

#include <string.h>

#include "gates.h"
#include "polygon.h"
#include "sigmoid_tanh.h"

/* A curve of one operand: increasing. */

static struct interval curve_image(const struct gate *of, const struct box *box)
{
    const double low = of->curve[0]->value(box->lower[0]), high = of->curve[0]->value(box->upper[0]);
    return (struct interval){low - margin(fabs(low)), high + margin(fabs(high))};
}

static struct support alone_support(const struct gate *of, double scale, const double *slope, const struct box *box)
{
    return curve_support(of->curve[0], scale, slope[0], box->lower[0], box->upper[0]);
}

static double alone_magnitude(const struct gate *of, const struct box *box)
{
    return reach(of->curve[0]->value(box->lower[0]), of->curve[0]->value(box->upper[0]));
}

/* Products w(x)·g(y) of increasing curves, or of one with y itself. */

static struct interval operand_image(const struct gate *of, const struct box *box, int k)
{
    if (!of->curve[k])
        return (struct interval){box->lower[k], box->upper[k]};
    const double low = of->curve[k]->value(box->lower[k]), high = of->curve[k]->value(box->upper[k]);
    return (struct interval){low - margin(fabs(low)), high + margin(fabs(high))};
}

static struct interval product_image(const struct gate *of, const struct box *box)
{
    const struct interval w = operand_image(of, box, 0), g = operand_image(of, box, 1);
    const double corners[] = {w.lower * g.lower, w.lower * g.upper, w.upper * g.lower, w.upper * g.upper};
    double low = corners[0], high = corners[0];
    for (int i = 1; i < 4; i++) {
        low = corners[i] < low || isnan(corners[i]) ? corners[i] : low;
        high = corners[i] > high || isnan(corners[i]) ? corners[i] : high;
    }
    return (struct interval){low - margin(fabs(low)), high + margin(fabs(high))};
}

static double product_magnitude(const struct gate *of, const struct box *box)
{
    double size = 1;
    for (int k = 0; k < 2; k++) {
        double (*value)(double) = of->curve[k] ? of->curve[k]->value : NULL;
        size *= value ? reach(value(box->lower[k]), value(box->upper[k])) : reach(box->lower[k], box->upper[k]);
    }
    return size;
}

/* w(x)·y is linear in y, whose greatest value lies at an end: there a curve of x is left. */
static struct support straight_support(const struct gate *of, double scale, const double *slope, const struct box *box)
{
    struct support found[2];
    for (int end = 0; end < 2; end++) {
        const double y = end ? box->upper[1] : box->lower[1];
        found[end] = curve_support(of->curve[0], scale * y, slope[0], box->lower[0], box->upper[0]);
        found[end].value -= slope[1] * y;
        found[end].at[1] = y;
    }
    return most(found[0], found[1]);
}

static struct support arc_product_support(const struct gate *of, double scale, const double *slope, const struct box *box)
{
    (void)of;
    const double x[] = {box->lower[0], box->upper[0]}, y[] = {box->lower[1], box->upper[1]};
    return relaxations_sigmoid_tanh(scale, slope[0], slope[1], x, y, 0.0);
}

/* The blend (1 - σ(z))·tanh(b) + σ(z)·h = σ(-z)·(tanh(b) - h) + h: linear in h, increasing in tanh(b) and in h, a
 * convex combination of them. */

static double blend_magnitude(const struct gate *of, const struct box *box)
{
    const double (*const lower) = box->lower, (*const upper) = box->upper;
    (void)of;
    return 2 * (reach(tanh(lower[1]), tanh(upper[1])) + reach(lower[2], upper[2]));
}

static struct interval blend_image(const struct gate *of, const struct box *box)
{
    const struct interval f = operand_image(of, box, 0), g = operand_image(of, box, 1);
    const double error = margin(blend_magnitude(of, box));
    const double weights[] = {between(f.lower, 0.0, 1.0), between(f.upper, 0.0, 1.0)};
    double low[2], high[2];
    for (int i = 0; i < 2; i++) {
        low[i] = (1 - weights[i]) * g.lower + weights[i] * box->lower[2];
        high[i] = (1 - weights[i]) * g.upper + weights[i] * box->upper[2];
    }
    return (struct interval){smaller(low[0], low[1]) - error, larger(high[0], high[1]) + error};
}

static struct support blend_support(const struct gate *of, double scale, const double *slope, const struct box *box)
{
    const double x[] = {-box->upper[0], -box->lower[0]}, y[] = {box->lower[1], box->upper[1]};
    struct support found[2];
    (void)of;
    for (int end = 0; end < 2; end++) {
        const double h = end ? box->upper[2] : box->lower[2];
        found[end] = relaxations_sigmoid_tanh(scale, -slope[0], slope[1], x, y, h);
        found[end].value += (scale - slope[2]) * h;
        found[end].at[0] = -found[end].at[0];
        found[end].at[2] = h;
    }
    return most(found[0], found[1]);
}

static const struct gate TABLE[] = {
    {"sigmoid", 1, ALONE, {&SIGMOID}, curve_image, alone_support, alone_magnitude, NULL},
    {"tanh", 1, ALONE, {&TANH}, curve_image, alone_support, alone_magnitude, NULL},
    {"sigmoid_product", 2, PRODUCT, {&SIGMOID, NULL}, product_image, straight_support, product_magnitude, NULL},
    {"tanh_product", 2, PRODUCT, {&TANH, NULL}, product_image, straight_support, product_magnitude, NULL},
    {"sigmoid_tanh", 2, PRODUCT, {&SIGMOID, &TANH}, product_image, arc_product_support, product_magnitude,
     relaxations_sigmoid_tanh_polygon},
    {"sigmoid_blend", 3, BLEND, {&SIGMOID, &TANH, NULL}, blend_image, blend_support, blend_magnitude, NULL},
};

const struct gate *relaxations_gate(const char *name)
{
    for (size_t i = 0; i < sizeof TABLE / sizeof *TABLE; i++)
        if (!strcmp(TABLE[i].name, name))
            return &TABLE[i];
    return NULL;
}

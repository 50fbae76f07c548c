/* The geometry of polygons: the steps of `Octagon.trimmed` and `unit_box` in relaxations/octagon.py,
 * `sides` in relaxations/polygons/polygon.py. */

#include "polygon.h"

static const double THIN = OCTAGON_THIN, TOUCH = POLYGON_TOUCH;

static int thick(const struct box *box, int k)
{
    const double half = 0.5 * (box->upper[k] - box->lower[k]);
    return half > THIN * reach(box->lower[k], box->upper[k]) && half > 0;
}

int relaxations_thick(const struct box *box)
{
    return thick(box, 0) && thick(box, 1);
}

struct unit relaxations_unit(const struct box *box, const struct cut *cut)
{
    struct unit unit = {{0, 0}, {0, 0}};
    for (int k = 0; k < 2; k++)
        if (cut->half[k] > 0) {
            unit.low[k] = (box->lower[k] - cut->centre[k]) / cut->half[k];
            unit.high[k] = (box->upper[k] - cut->centre[k]) / cut->half[k];
        }
    return unit;
}

struct cut relaxations_trimmed(const struct cut *given, const struct box *box)
{
    struct cut cut = *given;
    int usable = 1;
    for (int k = 0; k < 2; k++) {
        usable &= given->half[k] > 0 && thick(box, k);
        if (!(given->half[k] > 0)) {
            cut.centre[k] = 0.5 * (box->lower[k] + box->upper[k]);
            cut.half[k] = 0.5 * (box->upper[k] - box->lower[k]);
        }
    }
    const struct unit unit = relaxations_unit(box, &cut);
    const double sum[] = {unit.low[0] + unit.low[1], unit.high[0] + unit.high[1]};
    const double apart[] = {unit.low[0] - unit.high[1], unit.high[0] - unit.low[1]};
    /* a bound that is NaN cuts nothing */
    cut.sum[0] = usable ? larger(given->sum[0], sum[0]) : sum[0];
    cut.sum[1] = usable ? smaller(given->sum[1], sum[1]) : sum[1];
    cut.apart[0] = usable ? larger(given->apart[0], apart[0]) : apart[0];
    cut.apart[1] = usable ? smaller(given->apart[1], apart[1]) : apart[1];
    return cut;
}

static double largest(double a, double b, double c)
{
    return larger(larger(b, c), a);
}

static double least(double a, double b, double c)
{
    return smaller(smaller(b, c), a);
}

void relaxations_sides(const struct unit *unit, const struct cut *cut, struct side sides[SIDES])
{
    const double u[] = {unit->low[0], unit->high[0]}, v[] = {unit->low[1], unit->high[1]};
    const double *const s = cut->sum, *const d = cut->apart;
    for (int j = 0; j < 2; j++) {
        sides[j].first = largest(u[0], s[0] - v[j], d[0] + v[j]);
        sides[j].last = least(u[1], s[1] - v[j], d[1] + v[j]);
        sides[j].other = v[j];
        sides[2 + j].first = largest(v[0], s[0] - u[j], u[j] - d[1]);
        sides[2 + j].last = least(v[1], s[1] - u[j], u[j] - d[0]);
        sides[2 + j].other = u[j];
        sides[4 + j].first = largest(u[0], s[j] - v[1], 0.5 * (s[j] + d[0]));
        sides[4 + j].last = least(u[1], s[j] - v[0], 0.5 * (s[j] + d[1]));
        sides[4 + j].other = s[j] - sides[4 + j].first;
        sides[6 + j].first = largest(u[0], d[j] + v[0], 0.5 * (d[j] + s[0]));
        sides[6 + j].last = least(u[1], d[j] + v[1], 0.5 * (d[j] + s[1]));
        sides[6 + j].other = sides[6 + j].first - d[j];
    }
    for (int i = 0; i < SIDES; i++)
        sides[i].present =
            !(sides[i].first > sides[i].last + TOUCH * (1 + fabs(sides[i].first) + fabs(sides[i].last)));
}

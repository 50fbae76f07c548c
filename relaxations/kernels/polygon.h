/* Polygons: boxes of two operands cut to octagons, as relaxations/polygons/polygon.py describes them. */

#ifndef RELAXATIONS_POLYGON_H
#define RELAXATIONS_POLYGON_H

#include "gates.h"

/* Bounds of û + v̂ (`sum`) and û - v̂ (`apart`), least and greatest, in the frame p̂ = (p - centre) / half. */
struct cut {
    double centre[2], half[2], sum[2], apart[2];
};

/* The box in the frame. */
struct unit {
    double low[2], high[2];
};

/* The sides: v̂ least and greatest, û least and greatest, û + v̂ likewise, û - v̂ likewise.  û at both ends, or v̂ on the
 * two where û is constant; and the other of them at the first end. */
enum { SIDES = 8 };
struct side {
    double first, last, other;
    int present;
};

struct unit relaxations_unit(const struct box *box, const struct cut *cut);
int relaxations_thick(const struct box *box);
/* Octagons not beyond the corners of the box; there lie the sides where the box is too thin to be cut. */
struct cut relaxations_trimmed(const struct cut *given, const struct box *box);
void relaxations_sides(const struct unit *unit, const struct cut *cut, struct side sides[SIDES]);

/* Slopes [2][2] of a lower and an upper plane of nearly least volume over the polygon, for gates of two curves. */
void relaxations_polygon_slopes(const struct gate *gate, const struct box *box, const struct cut *cut,
                                const double *shift, double slopes[2][OPERANDS]);

/* The support of σ(x)·tanh(y), for the table of gates. */
struct support relaxations_sigmoid_tanh_polygon(double scale, const double *slope, const struct box *box,
                                                const struct cut *cut, int *close);

#endif

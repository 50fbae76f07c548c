/* The exchanges of simplex.py, one instance after the other: the same numbers as `exchange` there, without an
 * array in between.  It chooses slopes, which are sound whatever they are; offsets are computed in Python. */

#include <stddef.h>

enum { MOST = 5, POINTS = 512 };
static const double PIVOT = 1e-9, TOLERANCE = 1e-14;

/* The height of the plane over every point of one set, less its value: spare[g]. */
static void price(double *spare, const double *plane, const double *point, const double *value, ptrdiff_t k,
                  ptrdiff_t stride, ptrdiff_t grid)
{
    for (ptrdiff_t g = 0; g < grid; g++)
        spare[g] = plane[k] - value[g];
    for (ptrdiff_t i = 0; i < k; i++)
        for (ptrdiff_t g = 0; g < grid; g++)
            spare[g] += plane[i] * point[i * stride + g];
}

static double largest(const double *value, ptrdiff_t grid)
{
    double most = 0.0;
    for (ptrdiff_t g = 0; g < grid; g++) {
        const double size = value[g] < 0 ? -value[g] : value[g];
        most = size > most ? size : most;
    }
    return most;
}

/* tableau [k+2, k+2, count], basic [k, k+1, count]; two sets of points [k, count, grid or more] with values
 * [count, grid or more], the second of which may be empty.
 * Returns 0, or 1 where the sizes do not fit and nothing was done.  The number in the name changes with the
 * arguments, so that a library that was built before is not called. */
int relaxations_exchange_1(double *tableau, double *basic, const double *points, const double *values,
                           const double *others, const double *theirs, ptrdiff_t k, ptrdiff_t count, ptrdiff_t grid,
                           ptrdiff_t more, ptrdiff_t steps)
{
    double table[MOST][MOST], spare[POINTS];
    const ptrdiff_t size = k + 2, all = grid + more;
    if (k < 1 || size > MOST || all < 1 || all > POINTS)
        return 1;
    for (ptrdiff_t m = 0; m < count; m++) {
        const double *point = points + m * grid, *value = values + m * grid;
        const double *other = others + m * more, *its = theirs + m * more;
        const double tolerance = TOLERANCE * (largest(value, grid) + largest(its, more));
        for (ptrdiff_t i = 0; i < size; i++)
            for (ptrdiff_t j = 0; j < size; j++)
                table[i][j] = tableau[(i * size + j) * count + m];
        for (ptrdiff_t step = 0; step < steps; step++) {
            price(spare, table[k + 1], point, value, k, count * grid, grid);
            price(spare + grid, table[k + 1], other, its, k, count * more, more);
            ptrdiff_t index = 0; /* the most violated point */
            for (ptrdiff_t g = 1; g < all; g++)
                if (spare[g] < spare[index])
                    index = g;
            if (!(spare[index] < -tolerance))
                break;
            double entering[MOST], column[MOST];
            for (ptrdiff_t i = 0; i < k; i++)
                entering[i] = index < grid ? point[i * count * grid + index] : other[i * count * more + index - grid];
            /* the largest step that keeps every weight in m positive */
            ptrdiff_t leaving = -1;
            double shortest = 0.0;
            for (ptrdiff_t j = 0; j <= k; j++) {
                column[j] = table[j][k];
                for (ptrdiff_t i = 0; i < k; i++)
                    column[j] += table[j][i] * entering[i];
                if (column[j] > PIVOT) {
                    const double ratio = table[j][k + 1] / column[j];
                    if (leaving < 0 || ratio < shortest) {
                        shortest = ratio;
                        leaving = j;
                    }
                }
            }
            if (leaving < 0)
                break;
            column[k + 1] = spare[index];
            for (ptrdiff_t c = 0; c < size; c++) {
                const double pivot = table[leaving][c] / column[leaving];
                for (ptrdiff_t j = 0; j < size; j++)
                    table[j][c] = j == leaving ? pivot : table[j][c] - column[j] * pivot;
            }
            for (ptrdiff_t i = 0; i < k; i++)
                basic[(i * (k + 1) + leaving) * count + m] = entering[i];
        }
        for (ptrdiff_t i = 0; i < size; i++)
            for (ptrdiff_t j = 0; j < size; j++)
                tableau[(i * size + j) * count + m] = table[i][j];
    }
    return 0;
}

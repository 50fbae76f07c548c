/* The exchanges of simplex.py, one instance after the other: the same numbers as `exchange` there, without an
 * array in between.  It chooses slopes, which are sound whatever they are; offsets are bounded elsewhere. */

#include "compiler.h"
#include "gates.h"

static const double PIVOT = SIMPLEX_PIVOT, TOLERANCE = SIMPLEX_TOLERANCE;

/* Fill up to a multiple of LANES with the last point, which changes nothing; the count then. */
ptrdiff_t relaxations_pad(struct points *points, ptrdiff_t k, ptrdiff_t count)
{
    const ptrdiff_t padded = (count + LANES - 1) / LANES * LANES;
    for (ptrdiff_t g = count; g < padded; g++) {
        points->value[g] = points->value[count - 1];
        for (ptrdiff_t i = 0; i < k; i++)
            points->at[i][g] = points->at[i][count - 1];
    }
    return padded;
}

/* The most violated point: the first of least spare, the height of the plane above the point's value. */
INLINE ptrdiff_t most_violated(const struct points *points, const double *plane, ptrdiff_t k, ptrdiff_t padded,
                               double *least_spare)
{
    double spare[POINTS], least[LANES];
    for (int j = 0; j < LANES; j++)
        least[j] = INFINITY;
    for (ptrdiff_t g = 0; g < padded; g += LANES)
        for (int j = 0; j < LANES; j++) {
            double height = plane[k] - points->value[g + j];
            for (ptrdiff_t i = 0; i < k; i++)
                height += plane[i] * points->at[i][g + j];
            spare[g + j] = height;
            least[j] = height < least[j] ? height : least[j];
        }
    for (int j = 1; j < LANES; j++)
        least[0] = least[j] < least[0] ? least[j] : least[0];
    *least_spare = least[0];
    for (ptrdiff_t g = 0; g < padded; g++)
        if (spare[g] == least[0])
            return g;
    return -1;
}

INLINE void exchanges(struct basis *basis, const struct points *points, ptrdiff_t k, ptrdiff_t padded,
                      double tolerance, ptrdiff_t steps)
{
    double(*const table)[SIZE] = basis->table;
    for (ptrdiff_t step = 0; step < steps; step++) {
        double spare, entering[OPERANDS], column[SIZE];
        const ptrdiff_t index = most_violated(points, table[k + 1], k, padded, &spare);
        if (index < 0 || !(spare < -tolerance))
            return;
        for (ptrdiff_t i = 0; i < k; i++)
            entering[i] = points->at[i][index];
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
            return;
        column[k + 1] = spare;
        for (ptrdiff_t c = 0; c < k + 2; c++) {
            const double pivot = table[leaving][c] / column[leaving];
            for (ptrdiff_t j = 0; j < k + 2; j++)
                table[j][c] = j == leaving ? pivot : table[j][c] - column[j] * pivot;
        }
        for (ptrdiff_t i = 0; i < k; i++)
            basis->at[i][leaving] = entering[i];
    }
}

void relaxations_exchanges(struct basis *basis, const struct points *points, ptrdiff_t k, ptrdiff_t padded,
                           double tolerance, ptrdiff_t steps)
{
    /* k is a constant wherever `exchanges` is expanded; the tolerance is relative to the values */
    if (k == 1)
        exchanges(basis, points, 1, padded, TOLERANCE * tolerance, steps);
    else if (k == 2)
        exchanges(basis, points, 2, padded, TOLERANCE * tolerance, steps);
    else
        exchanges(basis, points, 3, padded, TOLERANCE * tolerance, steps);
}

/* Append points [k, count, grid] with values [count, grid] of instance m, and the largest of their absolute values. */
static double gather(struct points *to, ptrdiff_t first, const double *points, const double *values, ptrdiff_t k,
                     ptrdiff_t count, ptrdiff_t grid, ptrdiff_t m)
{
    double largest = 0.0;
    for (ptrdiff_t g = 0; g < grid; g++) {
        const double value = values[m * grid + g];
        to->value[first + g] = value;
        largest = fabs(value) > largest ? fabs(value) : largest;
        for (ptrdiff_t i = 0; i < k; i++)
            to->at[i][first + g] = points[(i * count + m) * grid + g];
    }
    return largest;
}

/* tableau [k+2, k+2, count], basic [k, k+1, count]; two sets of points [k, count, grid or more] with values
 * [count, grid or more], the second of which may be empty.
 * Returns 0, or 1 where the sizes do not fit and nothing was done. */
int relaxations_exchange(double *tableau, double *basic, const double *points, const double *values,
                         const double *others, const double *theirs, ptrdiff_t k, ptrdiff_t count, ptrdiff_t grid,
                         ptrdiff_t more, ptrdiff_t steps)
{
    const ptrdiff_t size = k + 2, all = grid + more;
    struct points set;
    struct basis basis;
    if (k < 1 || k > OPERANDS || all < 1 || all > POINTS)
        return 1;
    for (ptrdiff_t m = 0; m < count; m++) {
        double tolerance = gather(&set, 0, points, values, k, count, grid, m);
        tolerance += gather(&set, grid, others, theirs, k, count, more, m);
        for (ptrdiff_t i = 0; i < size; i++)
            for (ptrdiff_t j = 0; j < size; j++)
                basis.table[i][j] = tableau[(i * size + j) * count + m];
        for (ptrdiff_t i = 0; i < k; i++)
            for (ptrdiff_t j = 0; j <= k; j++)
                basis.at[i][j] = basic[(i * (k + 1) + j) * count + m];
        relaxations_exchanges(&basis, &set, k, relaxations_pad(&set, k, all), tolerance, steps);
        for (ptrdiff_t i = 0; i < size; i++)
            for (ptrdiff_t j = 0; j < size; j++)
                tableau[(i * size + j) * count + m] = basis.table[i][j];
        for (ptrdiff_t i = 0; i < k; i++)
            for (ptrdiff_t j = 0; j <= k; j++)
                basic[(i * (k + 1) + j) * count + m] = basis.at[i][j];
    }
    return 0;
}

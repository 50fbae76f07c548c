/* What a row wins back from many gates, `_scaled` of verifier/joint.py, a row at a time.
 *
 * The k vectors of a row stay in the processor's cache while V climbs. Sums run in eight lanes, which compilers turn
 * into one register; sums of four products each for two vectors at a time make a dozen uses of what is loaded. Which D
 * comes out is of no concern to soundness, and the matrix of scalar products errs as any sums in single precision do. */

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "../../relaxations/c/compiler.h"

enum { LANES = 8, COLUMNS = 4 };

#ifdef __GNUC__ /* its vectors; without, torch does it */

static const float TINY = 1e-30f;

typedef float lanes __attribute__((vector_size(LANES * sizeof(float)), aligned(sizeof(float)), may_alias));

INLINE float total_of(const lanes *sums)
{
    float sum = 0;
    for (int l = 0; l < LANES; l++)
        sum += (*sums)[l];
    return sum;
}

#define AT(PLACE) (*(const lanes *)(PLACE))

/* The scalar products of x and y with the `COLUMNS` rows of v: into seen[0..3] and seen[4..7]. */
INLINE void products(const float *x, const float *y, const float *v, ptrdiff_t n, float *seen)
{
    lanes a = {0}, b = {0}, c = {0}, d = {0}, e = {0}, f = {0}, g = {0}, h = {0};
    for (ptrdiff_t i = 0; i < n; i += LANES) {
        const lanes p = AT(x + i), q = AT(y + i);
        const lanes v0 = AT(v + i), v1 = AT(v + n + i), v2 = AT(v + 2 * n + i), v3 = AT(v + 3 * n + i);
        a += p * v0, b += p * v1, c += p * v2, d += p * v3;
        e += q * v0, f += q * v1, g += q * v2, h += q * v3;
    }
    seen[0] = total_of(&a), seen[1] = total_of(&b), seen[2] = total_of(&c), seen[3] = total_of(&d);
    seen[4] = total_of(&e), seen[5] = total_of(&f), seen[6] = total_of(&g), seen[7] = total_of(&h);
}

/* pulled += seen[0..3] times x, and seen[4..7] times y */
INLINE void pull(const float *restrict x, const float *restrict y, const float *seen, ptrdiff_t n, float *restrict pulled)
{
    for (ptrdiff_t i = 0; i < n; i++) {
        pulled[i] += seen[0] * x[i] + seen[4] * y[i];
        pulled[n + i] += seen[1] * x[i] + seen[5] * y[i];
        pulled[2 * n + i] += seen[2] * x[i] + seen[6] * y[i];
        pulled[3 * n + i] += seen[3] * x[i] + seen[7] * y[i];
    }
}

/* D[i], the length of column i of `pulled`, and v, these columns at length 1; all of the first `tied` columns count as
 * one. */
INLINE void normalised(const float *restrict pulled, ptrdiff_t n, ptrdiff_t tied, float *restrict D, float *restrict v)
{
    float together = 0;
    for (ptrdiff_t i = 0; i < n; i++) {
        const float a = pulled[i], b = pulled[n + i], c = pulled[2 * n + i], d = pulled[3 * n + i];
        D[i] = a * a + b * b + c * c + d * d;
    }
    for (ptrdiff_t i = 0; i < tied; i++)
        together += D[i];
    for (ptrdiff_t i = 0; i < tied; i++)
        D[i] = together;
    for (ptrdiff_t i = 0; i < n; i++) {
        const float length = sqrtf(D[i]), inverse = 1 / (length > TINY ? length : TINY);
        D[i] = length;
        for (int c = 0; c < COLUMNS; c++)
            v[c * n + i] = pulled[c * n + i] * inverse;
    }
}

/* Drops from the `count` vectors x those of gates of which v makes more than their `value`, and the gates from `keep`;
 * how many stay. */
INLINE ptrdiff_t staying(float *x, ptrdiff_t n, ptrdiff_t parts, const float *value, const float *v, int64_t *order,
                         ptrdiff_t count, uint8_t *keep)
{
    ptrdiff_t left = 0, last;
    for (ptrdiff_t first = 0; first < count; first = last) {
        const int64_t gate = order[first] / parts;
        float size = 0;
        for (last = first; last < count && order[last] / parts == gate; last++) {
            float seen[2 * COLUMNS];
            products(x + last * n, x + last * n, v, n, seen);
            for (int c = 0; c < COLUMNS; c++)
                size += seen[c] * seen[c];
        }
        keep[gate] = size < value[gate];
        for (ptrdiff_t j = first; j < last && keep[gate]; j++, left++) {
            if (left < j)
                memcpy(x + left * n, x + j * n, (size_t)n * sizeof *x);
            order[left] = order[j];
        }
    }
    return left;
}

/* Scalar products of the `count` vectors x, of n entries, after which there are three of zeros: that of a and b goes to
 * gram[at[a]][at[b]], and to the place beyond the diagonal; `gram` is [k, k]. */
INLINE void scalar_products(const float *x, ptrdiff_t count, ptrdiff_t n, ptrdiff_t k, const int64_t *at, float *gram)
{
    for (ptrdiff_t row = 0; row < count; row += 2) {
        for (ptrdiff_t column = 0; column <= row; column += 4) {
            const float *p = x + row * n, *q = p + n, *v = x + column * n;
            float found[8];
            products(p, q, v, n, found);
            for (int c = 0; c < 8; c++) {
                const ptrdiff_t one = row + c / 4, other = column + c % 4;
                if (one < count && other < count)
                    gram[at[one] * k + at[other]] = gram[at[other] * k + at[one]] = found[c];
            }
        }
    }
}

/* For each of `rows`: of k gates, of `parts` vectors each, vector p of gate j being root[j][p] * place[pick[j]][p] with n
 * entries, a multiple of 8, those gates that are kept, `keep` [rows, k]; a scaling D for their vectors, `sum` [rows] of
 * whose entries, one for the first `tied`, which are alike; and the scalar products of these with 1 / D, `gram` [rows,
 * k parts, k parts], zero for the others.
 *
 * V [COLUMNS, n] begins at `start` and climbs for `rounds` rounds; after `leaving` of them those gates go of whose
 * vectors it makes more than their `value` [rows, k]. Entries of D are increased by `least` times their mean. `space` is
 * for (k parts + 3 + 2 COLUMNS + 1) n numbers, `order` for k parts. */
FASTEST void verifier_balance_float_2(const float *place, ptrdiff_t parts, ptrdiff_t n, ptrdiff_t tied,
                                      const int64_t *pick, const float *root, const float *value, ptrdiff_t rows,
                                      ptrdiff_t k, const float *start, ptrdiff_t rounds, ptrdiff_t leaving,
                                      float least, float *space, int64_t *order, uint8_t *keep, float *gram,
                                      double *sum)
{
    const ptrdiff_t most = k * parts;
    float *x = space, *v = x + (most + 3) * n, *pulled = v + COLUMNS * n, *D = pulled + COLUMNS * n;
    const size_t line = (size_t)n * sizeof *x;
    for (ptrdiff_t r = 0; r < rows; r++, pick += k, root += most, value += k, keep += k, gram += most * most) {
        ptrdiff_t count = 0;
        memset(gram, 0, (size_t)(most * most) * sizeof *gram);
        for (ptrdiff_t j = 0; j < most; j++) {
            if (root[j] > 0) {
                const float *from = place + (pick[j / parts] * parts + j % parts) * n;
                for (ptrdiff_t i = 0; i < n; i++)
                    x[count * n + i] = root[j] * from[i];
                order[count++] = j;
            }
        }
        for (ptrdiff_t j = 0; j < k; j++)
            keep[j] = value[j] > 0;
        memcpy(v, start, COLUMNS * line);
        for (ptrdiff_t round = 0; round < rounds; round++) {
            memset(pulled, 0, COLUMNS * line);
            if (round == leaving)
                count = staying(x, n, parts, value, v, order, count, keep);
            memset(x + count * n, 0, 3 * line); /* the last one's companions */
            for (ptrdiff_t j = 0; j < count; j += 2) {
                float seen[2 * COLUMNS];
                products(x + j * n, x + (j + 1) * n, v, n, seen);
                pull(x + j * n, x + (j + 1) * n, seen, n, pulled);
            }
            normalised(pulled, n, tied, D, v);
        }
        double mean = 0, all = 0;
        for (ptrdiff_t i = 0; i < n; i++)
            mean += D[i];
        const float more = (float)(mean / n) * least + TINY;
        for (ptrdiff_t i = 0; i < n; i++) {
            D[i] += more;
            all += i + 1 < tied ? 0 : D[i];
            D[i] = 1 / sqrtf(D[i]);
        }
        for (ptrdiff_t j = 0; j < count; j++)
            for (ptrdiff_t i = 0; i < n; i++)
                x[j * n + i] *= D[i];
        scalar_products(x, count, n, most, order, gram);
        *sum++ = all;
    }
}

#endif

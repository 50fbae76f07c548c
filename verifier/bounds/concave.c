/* Least values of concave quadratic functions over a box and a half-space, as verifier/bounds/concave.py has them, a row at a
 * time.
 *
 * The vectors of a row stay in the processor's cache while V ascends. Sums run in eight lanes, which compilers turn into
 * one register; sums of four products each for two vectors at a time make a dozen uses of what is loaded. Which D and
 * which multiplier come out is of no concern to soundness, and the matrix of scalar products errs as its sums in single
 * precision do: what is proved by it is proved in double precision, at the end. */

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "compiler.h"
#include "constants.h"

enum { LANES = CONCAVE_LANES, COLUMNS = CONCAVE_COLUMNS, BLOCK = 4 };
_Static_assert(COLUMNS == 4, "products and pull are written out for four columns");

#ifdef __GNUC__ /* its vectors; without, torch does it */

static const float TINY = (float)CONCAVE_TINY, MIXED[COLUMNS] = CONCAVE_MIXED;

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

/* The next multiplier of the half-space `normal`·z + h ≤ 0, with squares over D in the place of magnitudes. */
INLINE float reweighted(const float *pulled, const float *normal, double h, const float *D, ptrdiff_t n)
{
    float force = 0, weight = TINY;
    for (ptrdiff_t i = 1; i < n; i++) {
        const float share = normal[i] / (D[i] + TINY);
        force += share * pulled[i];
        weight += share * normal[i];
    }
    const double found = (h + (double)force) * 2 / (double)weight;
    return found > 0 ? (float)(found < 1e30 ? found : 1e30) : 0;
}

/* D[i], the length of column i of `pulled`, and v, these columns at length 1, but for the first of v, which is e. */
INLINE void normalised(const float *restrict pulled, ptrdiff_t n, float *restrict D, float *restrict v)
{
    for (ptrdiff_t i = 0; i < n; i++) {
        const float a = pulled[i], b = pulled[n + i], c = pulled[2 * n + i], d = pulled[3 * n + i];
        const float length = sqrtf(a * a + b * b + c * c + d * d), inverse = 1 / (length > TINY ? length : TINY);
        D[i] = length;
        v[i] = a * inverse, v[n + i] = b * inverse, v[2 * n + i] = c * inverse, v[3 * n + i] = d * inverse;
    }
    D[0] = 0;
    v[0] = 1, v[n] = 0, v[2 * n] = 0, v[3 * n] = 0;
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

/* Scalar products of the `count` vectors x, of n entries, after which there are three of zeros: `gram` [count, count]. */
INLINE void scalar_products(const float *x, ptrdiff_t count, ptrdiff_t n, double *gram)
{
    for (ptrdiff_t column = 0; column < count; column += 4) { /* four vectors stay near while the others pass */
        for (ptrdiff_t row = column; row < count; row += 2) {
            const float *p = x + row * n, *q = p + n, *v = x + column * n;
            float found[8];
            products(p, q, v, n, found);
            for (int c = 0; c < 8; c++) {
                const ptrdiff_t one = row + c / 4, other = column + c % 4;
                if (one < count && other < count)
                    gram[one * count + other] = gram[other * count + one] = found[c];
            }
        }
    }
}

/* Nearly the largest eigenvalue of `gram` [k, k], not above it; u and w are for k numbers each. */
INLINE double largest(const double *gram, ptrdiff_t k, ptrdiff_t powers, double *u, double *w)
{
    double size = 0, found = 0;
    for (ptrdiff_t j = 0; j < k; j++)
        size += u[j] * u[j];
    for (ptrdiff_t step = 0; step < powers && size > 0; step++) {
        const double inverse = 1 / sqrt(size);
        size = 0;
        for (ptrdiff_t j = 0; j < k; j++) {
            double sum = 0;
            for (ptrdiff_t i = 0; i < k; i++)
                sum += gram[j * k + i] * u[i];
            w[j] = sum * inverse;
            size += w[j] * w[j];
        }
        found = sqrt(size);
        memcpy(u, w, (size_t)k * sizeof *u);
    }
    return found;
}

/* With A = (1 - slip) - `gram` / t [k, k]: whether it is positive definite, as far as the factor UᵀU = A says, which is
 * made in `factor` [k, k + BLOCK] with U⁻ᵀq as the first column after the k; and the square of that column's length. */
INLINE int factored(const double *gram, const double *q, ptrdiff_t k, double t, double slip, double *factor, double *square)
{
    const ptrdiff_t line = k + BLOCK;
    for (ptrdiff_t j = 0; j < k; j++) {
        double *row = factor + j * line;
        for (ptrdiff_t i = j; i < k; i++)
            row[i] = -gram[j * k + i] / t;
        row[j] += 1 - slip;
        row[k] = q[j];
    }
    *square = 0;
    for (ptrdiff_t first = 0; first < k; first += BLOCK) {
        const ptrdiff_t last = first + BLOCK < k ? first + BLOCK : k;
        for (ptrdiff_t j = first; j < last; j++) {
            double *row = factor + j * line;
            for (ptrdiff_t l = first; l < j; l++) {
                const double *above = factor + l * line, by = above[j];
                for (ptrdiff_t i = j; i <= k; i++)
                    row[i] -= by * above[i];
            }
            if (!(row[j] > 0))
                return 0;
            const double inverse = 1 / sqrt(row[j]);
            for (ptrdiff_t i = j; i <= k; i++)
                row[i] *= inverse;
            *square += row[k] * row[k];
        }
        if (last - first < BLOCK)
            break;
        const double *a = factor + first * line, *b = a + line, *c = b + line, *d = c + line;
        for (ptrdiff_t l = last; l < k; l++) {
            double *restrict row = factor + l * line;
            const double p = a[l], r = b[l], s = c[l], o = d[l];
            for (ptrdiff_t i = l; i <= k; i++)
                row[i] -= p * a[i] + r * b[i] + s * c[i] + o * d[i];
        }
    }
    return 1;
}

/* What `proved` needs to know of a row: `gram` [k, k] of the vectors, their products `with` b, their entries `at` e, Σd,
 * |b|² and γ·h less what its rounding loses. */
struct dual {
    const double *gram, *with, *at;
    ptrdiff_t k;
    double trace, total, square, gain;
};

/* The bound that the scaling t·d proves, -inf where it proves nothing. `space` is for k (k + BLOCK) numbers, `q` for k. */
INLINE double proved(const struct dual *row, double t, double slip, double *q, double *space)
{
    const ptrdiff_t k = row->k;
    double lengths = 0, start = 0, found;
    for (ptrdiff_t j = 0; j < k; j++) {
        q[j] = row->at[j] - row->with[j] / t;
        lengths += row->at[j] * row->at[j];
        start += q[j] * q[j];
    }
    const double scaled = t * row->total + row->square / t, floor = 1e-6 * scaled + TINY;
    const double errs = slip * (sqrt(lengths) + sqrt(row->trace * row->square) / t);
    const double from = start > floor ? start : floor, unit = 2.3e-16 * (double)(k + 33) * (double)(k + 1);
    const double less = 1.01 * (slip * row->trace / t + errs / sqrt(from)) + unit;
    if (!(less < 0.5) || !factored(row->gram, q, k, t, less, space, &found))
        return -INFINITY;
    const double lost = (found > from ? found : from) / (1 - less) * (1 + 1e-9);
    const double bound = row->gain - scaled - lost - 1e-11 * (fabs(row->gain) + scaled + lost);
    return isfinite(bound) ? bound : -INFINITY;
}

/* Bounds `found` [rows] below  a·z − Σ (root·(s·z))²  over |z_i| <= 1 with z_0 = 1 and normal·z + h <= 0, for the k gates
 * `pick` [rows, k] of each row: `parts` vectors s at `place` [U, parts, n] each, with `root` [rows, k, parts] and
 * `linear` a [rows, n]. `keep` [rows, k] says whose vectors count.
 *
 * V [COLUMNS, n] begins at `start` and ascends for `rounds` rounds; after `leaving` of them those gates go of whose
 * vectors it makes more than their `value` [rows, k]. Entries of D are increased by `least` times their mean. With `slip`
 * for the rounding of scalar products, one of the scalings `above` [tries] times the least is the one that proves
 * something. `space` is for (k parts + 4 + 2 COLUMNS + 2) n numbers, `doubles` for k parts (2 k parts + 5 + BLOCK), `order`
 * for k parts. */
FASTEST void verifier_concave(const float *place, ptrdiff_t parts, ptrdiff_t n, const float *linear,
                                      const float *normal, double h, const int64_t *pick, const float *root,
                                      const float *value, ptrdiff_t rows, ptrdiff_t k, const float *start,
                                      ptrdiff_t rounds, ptrdiff_t leaving, ptrdiff_t powers, float least, double slip,
                                      const double *above, ptrdiff_t tries, float *space, double *doubles,
                                      int64_t *order, uint8_t *keep, double *found)
{
    const ptrdiff_t most = k * parts;
    float *x = space, *v = x + (most + 3) * n, *pulled = v + COLUMNS * n, *D = pulled + COLUMNS * n, *b = D + n;
    double *gram = doubles, *factor = gram + most * most, *with = factor + most * (most + BLOCK), *at = with + most;
    double *q = at + most, *u = q + most, *w = u + most;
    const size_t line = (size_t)n * sizeof *x;
    for (ptrdiff_t r = 0; r < rows; r++, pick += k, root += most, value += k, keep += k, linear += n) {
        ptrdiff_t count = 0;
        float gamma = 0;
        for (ptrdiff_t j = 0; j < most; j++) {
            if (root[j] > 0) {
                const float *restrict from = place + (pick[j / parts] * parts + j % parts) * n;
                const float by = root[j];
                float *restrict to = x + count * n;
                for (ptrdiff_t i = 0; i < n; i++)
                    to[i] = by * from[i];
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
                u[j] = (double)(MIXED[0] * seen[0] + MIXED[1] * seen[1] + MIXED[2] * seen[2] + MIXED[3] * seen[3]);
                if (j + 1 < count)
                    u[j + 1] = (double)(MIXED[0] * seen[4] + MIXED[1] * seen[5] + MIXED[2] * seen[6] + MIXED[3] * seen[7]);
            }
            for (ptrdiff_t i = 0; i < n; i++)
                pulled[i] -= 0.5f * linear[i];
            if (normal) {
                if (round)
                    gamma = reweighted(pulled, normal, h, D, n);
                for (ptrdiff_t i = 0; i < n; i++)
                    pulled[i] -= 0.5f * gamma * normal[i];
            }
            normalised(pulled, n, D, v);
        }
        double mean = 0, total = 0, square = 0, trace = 0, rounding = 0;
        for (ptrdiff_t i = 1; i < n; i++)
            mean += D[i];
        const float more = (float)(mean / (double)n) * least + TINY;
        for (ptrdiff_t i = 1; i < n; i++) {
            const float moved = normal ? linear[i] + gamma * normal[i] : linear[i];
            if (normal)
                rounding += fabs((double)linear[i] + (double)gamma * (double)normal[i] - (double)moved);
            D[i] += more;
            total += D[i];
            square += 0.25 * (double)moved * (double)moved / D[i];
            D[i] = 1 / sqrtf(D[i]);
            b[i] = 0.5f * moved * D[i];
        }
        D[0] = b[0] = 0;
        for (ptrdiff_t j = 0; j < count; j++) {
            at[j] = x[j * n];
            for (ptrdiff_t i = 0; i < n; i++)
                x[j * n + i] *= D[i];
        }
        scalar_products(x, count, n, gram);
        for (ptrdiff_t j = 0; j < count; j++) {
            lanes sum = {0};
            for (ptrdiff_t i = 0; i < n; i += LANES)
                sum += AT(x + j * n + i) * AT(b + i);
            with[j] = total_of(&sum);
            trace += gram[j * count + j];
        }
        const struct dual row = {gram, with, at, count, trace + TINY, total, square, gamma * h - rounding};
        const double size = largest(gram, count, powers, u, w);
        *found = -INFINITY;
        for (ptrdiff_t one = 0; one < tries && !(*found > -INFINITY); one++)
            *found = proved(&row, size * above[one] > 1 ? size * above[one] : 1, slip, q, factor);
        found++;
    }
}

#endif

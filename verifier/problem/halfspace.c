/* The multipliers of verifier/problem/halfspace.py, a row at a time, without sorting.
 *
 * The concave function λ·b + min (a + λA)·x of a row a has the slope  slope − Σ { fall[i] : place[i] <= λ }  at λ,
 * where place[i] = −a[i] / A[i], if that is positive. It is greatest where this reaches 0, which is found by bisection
 * over the bits of λ: floats that are not negative are ordered as their bits are. Falls and slopes are whole numbers of
 * a small unit, whose sums compilers may put in any order. Whatever comes out is sound. */

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "compiler.h"

enum { NEAR = 16 }; /* neighbours of a float, a relative 2^-19 at most, are as good */

INLINE int32_t bits_of(float value)
{
    int32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

INLINE float float_of(int32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Σ { fall[i] : place[i] <= limit } */
INLINE int32_t passed(const int32_t *place, const int32_t *fall, ptrdiff_t n, int32_t limit)
{
    int32_t sum = 0;
    for (ptrdiff_t i = 0; i < n; i++)
        sum += place[i] <= limit ? fall[i] : 0;
    return sum;
}

/* The least `limit`, nearly, at which that is `slope`; the greatest finite place where it never is. */
INLINE int32_t crossing(const int32_t *place, const int32_t *fall, ptrdiff_t n, int32_t slope, int32_t infinite)
{
    int32_t below = 0, above = 0;
    for (ptrdiff_t i = 0; i < n; i++)
        above = place[i] > above && place[i] < infinite ? place[i] : above;
    while (above - below > NEAR) {
        const int32_t middle = below + (above - below) / 2;
        if (passed(place, fall, n, middle) < slope)
            below = middle;
        else
            above = middle;
    }
    return above;
}

/* rows [batch, count, n], `strides` apart, ↦ the best λ of each, found [batch, count].
 *
 * inverse[b] has the n numbers −1 / A[i], 0 where A[i] is; fall[b] the n numbers 2·radius[i]·|A[i]|, which add up to less
 * than 2^30; middle[b] is A·x + b in the middle of the box. `place` is space for n numbers. From the middle to the corner
 * that is best for the row alone A·x goes down by half of all falls, up where an entry will move. */
#define DEFINE_MULTIPLIERS(NAME, REAL)                                                                           \
    FASTEST void NAME(const REAL *rows, ptrdiff_t batch, ptrdiff_t count, ptrdiff_t n, const ptrdiff_t *strides, \
                      const float *inverse, const int32_t *fall, const int32_t *middle, int32_t *place,          \
                      REAL *found)                                                                               \
    {                                                                                                            \
        const int32_t infinite = bits_of(INFINITY);                                                              \
        for (ptrdiff_t b = 0; b < batch; b++, inverse += n, fall += n) {                                         \
            const int32_t down = passed(fall, fall, n, infinite) / 2; /* of them all */                          \
            for (ptrdiff_t r = 0; r < count; r++) {                                                              \
                const REAL *a = rows + b * strides[0] + r * strides[1];                                          \
                for (ptrdiff_t i = 0; i < n; i++) {                                                              \
                    const float at = (float)a[i] * inverse[i];                                                   \
                    place[i] = bits_of(at > 0 ? at : INFINITY);                                                  \
                }                                                                                                \
                const int32_t slope = middle[b] - down + passed(place, fall, n, infinite - 1);                   \
                *found++ = slope > 0 ? float_of(crossing(place, fall, n, slope, infinite)) : 0;                  \
            }                                                                                                    \
        }                                                                                                        \
    }

DEFINE_MULTIPLIERS(verifier_multipliers_double, double)
DEFINE_MULTIPLIERS(verifier_multipliers_float, float)

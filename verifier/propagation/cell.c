/* One time step of a cell, backwards: from coefficients of its outputs to those of what its gates read. The same
 * sums as `RelaxedGate.pull` and `Coefficients`, a row at a time, so that a row stays in the cache.
 *
 * Rows `first` to `last` are passed through the cell, of batch * rows that are numbered through, so that a block of them stays in the
 * cache for the product, or so that threads can share them. Row i - first of `waiting`, `width` entries apart, receives
 * the coefficients of all operands that wait for a matrix product, row i of `direct`, `span` entries apart, those of
 * inputs that gates read as they are; `scratch` holds one row of coefficients of the gates' outputs. `code` tells what
 * goes where:
 *
 *     count of sources, then for each    n, destinations
 *     count of gates, then for each      n, arity, place of its output in `scratch`, destinations of each operand
 *     destinations:                      count, then of each where, place, scale, adds
 *
 * `where` is WAITING, DIRECT or SCRATCH of compiled_cell.py; `scale` an index into `scales`, or -1 for the
 * identity; `adds` is 0 where nothing has been written yet.
 *
 * planes[g] [batch or 1, 2 * arity + 2, n]: for every operand middle and minus_radius, then the same of the offset.
 * The constants of rows, `before` and `after`, are double: what rounding adds to them step by step must
 * not grow with their number. */

#include <math.h>
#include <stddef.h>
#include <string.h>

#include "compiler.h"
#include "constants.h"

enum { LANES = 8, PLACES = 3 };

#define DEFINE_CELL(NAME, REAL, ABS)                                                                             \
    /* `pulls`, `adds` and whether there is a `scale` are constants wherever this is expanded */                 \
    INLINE void NAME##_add(REAL *restrict to, const REAL *a, int pulls, const REAL *middle, const REAL *radius,  \
                           const REAL *scale, ptrdiff_t n, int adds)                                             \
    {                                                                                                            \
        for (ptrdiff_t i = 0; i < n; i++) {                                                                      \
            REAL value = a[i];                                                                                   \
            if (pulls)                                                                                           \
                value = value * middle[i] + ABS(value) * radius[i];                                              \
            if (scale)                                                                                           \
                value *= scale[i];                                                                               \
            to[i] = adds ? to[i] + value : value;                                                                \
        }                                                                                                        \
    }                                                                                                            \
                                                                                                                 \
    INLINE const ptrdiff_t *NAME##_send(const ptrdiff_t *code, const REAL *a, int pulls, const REAL *middle,     \
                                        const REAL *radius, ptrdiff_t n, const REAL *const *scales,              \
                                        REAL *const *rows)                                                       \
    {                                                                                                            \
        for (ptrdiff_t count = *code++; count > 0; count--, code += 4) {                                         \
            REAL *to = rows[code[0]] + code[1];                                                                  \
            const REAL *scale = code[2] >= 0 ? scales[code[2]] : NULL;                                           \
            if (scale && code[3])                                                                                \
                NAME##_add(to, a, pulls, middle, radius, scale, n, 1);                                           \
            else if (scale)                                                                                      \
                NAME##_add(to, a, pulls, middle, radius, scale, n, 0);                                           \
            else if (code[3])                                                                                    \
                NAME##_add(to, a, pulls, middle, radius, NULL, n, 1);                                            \
            else if (pulls)                                                                                      \
                NAME##_add(to, a, 1, middle, radius, NULL, n, 0);                                                \
            else                                                                                                 \
                memcpy(to, a, (size_t)n * sizeof(REAL));                                                         \
        }                                                                                                        \
        return code;                                                                                             \
    }                                                                                                            \
                                                                                                                 \
    INLINE REAL NAME##_offset(const REAL *a, const REAL *middle, const REAL *radius, ptrdiff_t n)                \
    {                                                                                                            \
        REAL sums[LANES] = {0}, total = 0;                                                                       \
        ptrdiff_t i = 0;                                                                                         \
        for (; i + LANES <= n; i += LANES)                                                                       \
            for (ptrdiff_t j = 0; j < LANES; j++)                                                                \
                sums[j] += a[i + j] * middle[i + j] + ABS(a[i + j]) * radius[i + j];                             \
        for (; i < n; i++)                                                                                       \
            total += a[i] * middle[i] + ABS(a[i]) * radius[i];                                                   \
        for (ptrdiff_t j = 0; j < LANES; j++)                                                                    \
            total += sums[j];                                                                                    \
        return total;                                                                                            \
    }                                                                                                            \
                                                                                                                 \
    FASTEST void NAME(const ptrdiff_t *code, ptrdiff_t rows, ptrdiff_t first, ptrdiff_t last,                    \
                      const REAL *const *sources, const ptrdiff_t *strides, const REAL *const *planes,           \
                      const ptrdiff_t *each, const REAL *const *scales, const double *before,                    \
                      ptrdiff_t before_stride, double *after, REAL *waiting, ptrdiff_t width, REAL *direct,      \
                      ptrdiff_t span, REAL *scratch)                                                             \
    {                                                                                                            \
        for (ptrdiff_t i = first; i < last; i++) {                                                               \
            const ptrdiff_t b = i / rows, r = i % rows;                                                          \
            REAL *const places[PLACES] = {[COMPILED_CELL_WAITING] = waiting + (i - first) * width,               \
                                          [COMPILED_CELL_DIRECT] = direct + i * span,                            \
                                          [COMPILED_CELL_SCRATCH] = scratch};                                    \
            double constant = before[b * before_stride + r];                                                     \
            const ptrdiff_t *next = code;                                                                        \
            const ptrdiff_t given = *next++;                                                                     \
            for (ptrdiff_t s = 0; s < given; s++) {                                                              \
                const ptrdiff_t n = *next++;                                                                     \
                const REAL *a = sources[s] + b * strides[2 * s] + r * strides[2 * s + 1];                        \
                next = NAME##_send(next, a, 0, NULL, NULL, n, scales, places);                                    \
            }                                                                                                    \
            const ptrdiff_t gates = *next++;                                                                     \
            for (ptrdiff_t g = 0; g < gates; g++) {                                                              \
                const ptrdiff_t n = *next++, arity = *next++;                                                    \
                const REAL *a = scratch + *next++, *plane = planes[g] + b * each[g];                             \
                for (ptrdiff_t k = 0; k < arity; k++, plane += 2 * n)                                            \
                    next = NAME##_send(next, a, 1, plane, plane + n, n, scales, places);                         \
                constant += NAME##_offset(a, plane, plane + n, n);                                               \
            }                                                                                                    \
            after[i] = constant;                                                                                 \
        }                                                                                                        \
    }

DEFINE_CELL(verifier_cell_double, double, fabs)
DEFINE_CELL(verifier_cell_float, float, fabsf)

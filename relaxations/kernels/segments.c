/* The steps of relaxations/polygons/segments.py, which has the proof: on a cell F is at most the cubic with its values and
 * derivatives at both ends plus max|F⁗| / 384, and the cubic at most the greatest of its Bernstein coefficients on
 * either side of any split. Cells whose bound exceeds the best value by more than a tolerance are cut again. */

#include "segments.h"

enum { PARTS = SEGMENTS_PARTS, AGAIN = SEGMENTS_AGAIN, ROUNDS = SEGMENTS_ROUNDS };
enum { FEW = 4 * PARTS, MOST_CELLS = FEW * AGAIN * AGAIN * AGAIN };
static const double TOLERANCE = SEGMENTS_TOLERANCE;
static const double SIGMOID_MOST[] = SEGMENTS_SIGMOID_MOST;
static const double TANH_MOST[] = SEGMENTS_TANH_MOST, TANH_SHARE[] = SEGMENTS_TANH_SHARE;

struct node {
    double x, y, gate, value, third; /* a third of the derivative along a cell */
};

struct segment relaxations_segment(double x, double y, double dx, double dy)
{
    const double low = smaller(y, y + dy), high = larger(y, y + dy), size = fabs(dy);
    const double s = sigmoid(x + dx), t = tanh(reach(low, high));
    /* where the slopes are greatest */
    const double s1 = sigmoid_slope(larger(larger(x, -(x + dx)), 0.0));
    const double t1 = tanh_slope(larger(larger(low, -high), 0.0));
    const double s2 = smaller(s1, SIGMOID_MOST[0]), s3 = smaller(s1, SIGMOID_MOST[1]);
    const double s4 = smaller(s1, SIGMOID_MOST[2]);
    const double t2 = smaller(TANH_SHARE[0] * t1, TANH_MOST[0]), t3 = smaller(TANH_SHARE[1] * t1, TANH_MOST[1]);
    const double t4 = smaller(TANH_SHARE[2] * t1, TANH_MOST[2]);
    const double factors[] = {4 * s3 * t1, 6 * s2 * t2, 4 * s1 * t3, s * t4};
    double total = s4 * t, power = size;
    for (int k = 0; k < 4; k++, power *= size)
        total = total * dx + factors[k] * power;
    return (struct segment){x, y, dx, dy, total};
}

/* The greater; NaN, if either is. */
static double worse(double a, double b)
{
    return b > a || isnan(b) ? b : a;
}

static double mixed(double p, double q, double share)
{
    return p + (q - p) * share;
}

/* An upper bound of a cubic on [0, 1], up to rounding: by its Bernstein coefficients, split where it turns. */
static double cubic(double first, double rise, double fall, double last)
{
    const double second = first + rise, third = last - fall, middle = third - second;
    const double bend = middle - rise, curve = rise - 2 * middle + fall;
    const double root = sqrt(larger(bend * bend - curve * rise, 0.0));
    const double turns = bend < 0 ? rise / (root - bend) : -(bend + root) / curve;
    const double split = isnan(turns) ? 0.5 : between(turns, 0.0, 1.0);
    const double c0 = mixed(first, second, split), c1 = mixed(second, third, split), c2 = mixed(third, last, split);
    return worse(worse(worse(first, c0), worse(mixed(c0, c1, split), mixed(c1, c2, split))), worse(c2, last));
}

/* Nodes [n + 1] of n equal cells of a segment, and upper bounds [n] over the cells. */
static void evaluate(double a, double b, const struct segment *of, int n, struct node *nodes, double *bounds)
{
    for (int i = 0; i <= n; i++) {
        const double share = (double)i / n, x = of->x + of->dx * share, y = of->y + of->dy * share;
        const double s = sigmoid(x), t = tanh(y), gate = s * t;
        const double slope = s * ((1 - s) * t * of->dx + (1 - t * t) * of->dy) - (a * of->dx + b * of->dy);
        nodes[i] = (struct node){x, y, gate, gate - a * x - b * y, slope / (3 * n)};
    }
    const double power = (double)n * n * n * n, error = of->fourth * (SEGMENTS_REMAINDER / (384 * power));
    for (int i = 0; i < n; i++) {
        const struct node *left = &nodes[i], *right = &nodes[i + 1];
        bounds[i] = cubic(left->value, left->third, right->third, right->value) + error;
    }
}

/* The nodes that are better than `best` take its place. */
static void improve(struct support *best, const struct node *nodes, int n)
{
    for (int i = 0; i <= n; i++)
        if (nodes[i].value > best->value)
            *best = (struct support){nodes[i].value, {nodes[i].x, nodes[i].y}};
}

struct support relaxations_greatest(double a, double b, const struct segment *segments, int count, struct support best,
                                    int *close)
{
    struct segment cells[MOST_CELLS];
    struct node nodes[AGAIN + 1];
    double bounds[MOST_CELLS], least = INFINITY, low = INFINITY, high = -INFINITY;
    double most = best.value;
    int open = 0;
    for (int i = 0; i < count; i++) {
        const struct segment *of = &segments[i];
        evaluate(a, b, of, PARTS, nodes, bounds + open);
        improve(&best, nodes, PARTS);
        for (int j = 0; j <= PARTS; j++) {
            least = smaller(nodes[j].value, least);
            low = smaller(nodes[j].gate, low);
            high = larger(nodes[j].gate, high);
        }
        for (int j = 0; j < PARTS; j++)
            cells[open++] = (struct segment){nodes[j].x, nodes[j].y, of->dx / PARTS, of->dy / PARTS,
                                             of->fourth / (PARTS * PARTS * PARTS * PARTS)};
    }
    const double enough = count ? TOLERANCE * larger(smaller(best.value - least, high - low), 0.0) : 0.0;
    for (int round = 0; open; round++) {
        /* those that are close enough are done, the others move to the front */
        int kept = 0;
        for (int i = 0; i < open; i++)
            if (round < ROUNDS && bounds[i] > best.value + enough)
                cells[kept++] = cells[i];
            else
                most = worse(most, bounds[i]);
        open = kept;
        /* from the last on, so that the parts of one do not overwrite another */
        for (int i = kept - 1; i >= 0; i--) {
            const struct segment of = cells[i];
            evaluate(a, b, &of, AGAIN, nodes, bounds + AGAIN * i);
            improve(&best, nodes, AGAIN);
            for (int j = 0; j < AGAIN; j++)
                cells[AGAIN * i + j] = (struct segment){nodes[j].x, nodes[j].y, of.dx / AGAIN, of.dy / AGAIN,
                                                        of.fourth / (AGAIN * AGAIN * AGAIN * AGAIN)};
        }
        open *= AGAIN;
    }
    const double reached = best.value;
    best.value = worse(most, reached);
    *close = best.value <= reached + enough;
    return best;
}

/* What the loader asks of the library: from which sources it was built, and for which instructions it runs here. */

#include "compiler.h"

const char *const recert_build = RECERT_BUILD; /* of relaxations/kernels/library.py, given by setup.py */

const char *recert_instructions(void)
{
#ifdef CLONES
    return __builtin_cpu_supports(CLONES) ? CLONES : "baseline";
#else
    return "baseline";
#endif
}

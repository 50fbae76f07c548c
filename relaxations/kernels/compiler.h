/* What compilers need to be told, for all C of the packages. */

#ifndef RELAXATIONS_COMPILER_H
#define RELAXATIONS_COMPILER_H

#include <string.h> /* of the C library, any: it says whether that is glibc, which can choose between clones */

/* A second version of a function for processors with AVX2, chosen when the library is loaded. "arch=" with the name of
 * a processor is for that very one and no other. */
#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__)
#if __GNUC__ >= 12
#define CLONES "x86-64-v3"
#define FASTEST __attribute__((target_clones("arch=" CLONES, "default")))
#else
#define CLONES "avx2"
#define FASTEST __attribute__((target_clones(CLONES, "default")))
#endif
#else
#define FASTEST
#endif

#ifdef __GNUC__
#define INLINE static inline __attribute__((always_inline)) /* into every clone */
#else
#define INLINE static inline
#endif

#endif

/* The only names under which GNU attributes and compiler tricks are used (docs/style.md, rule 6). */
#ifndef NACRE_BASE_COMPILER_H
#define NACRE_BASE_COMPILER_H

#include <stddef.h>

#define MUST_CHECK             __attribute__((warn_unused_result))
#define CLEANUP(fn)            __attribute__((cleanup(fn)))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))
#define NORETURN               __attribute__((noreturn))
#define UNUSED                 __attribute__((unused))
#define PACKED                 __attribute__((packed))
#define ALIGNED(n)             __attribute__((aligned(n)))

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* The struct of type `type` whose member `member` is at `ptr`. */
#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/*
 * We are wrong. Always compiled, no side effects in `cond`, never decided by bytes from outside. Prints the
 * condition with its place on standard error and aborts.
 */
#define BUG_ON(cond)                                                                               \
	do {                                                                                       \
		if (__builtin_expect(!!(cond), 0))                                                 \
			bug_at(#cond, __FILE__, __LINE__);                                         \
	} while (0)

NORETURN void bug_at(const char *cond, const char *file, int line);

#endif

/*
 * Which file will be executed, and what is its environment: decided in the container's root and with the container's
 * user, before the process is reported as created, in the words of runc that callers look for.
 */
#ifndef NACRE_AGENT_EXEC_PATH_H
#define NACRE_AGENT_EXEC_PATH_H

#include "base/compiler.h"
#include "base/err.h"
#include "config/oci.h"

/* Value of `name` in a NULL-terminated environment, NULL when absent; the last one counts. */
const char *env_get(char *const *env, const char *name);

/*
 * A name with a slash is taken as it is, another is looked for in `path` (may be NULL). *out is the caller's. Errors:
 * `exec: "x": executable file not found in $PATH`, `exec: "/x": permission denied`.
 */
int exec_path_find(const char *name, const char *path, char **out, struct err *err) MUST_CHECK;

/* Home directory of `uid` by the text of a passwd(5) file; "/" when it is not there. *out is the caller's. */
int passwd_home(const char *passwd, uint32_t uid, char **out) MUST_CHECK;

/* The process's environment, with HOME from /etc/passwd when it has none. Array and HOME are owned by *out's holder. */
int exec_environment(const struct oci_process *process, char ***out, struct err *err) MUST_CHECK;

/* strerror as Go prints it: without a capital. */
const char *errno_words(int code, char *buf, size_t size);

#endif

/* See exec_path.h. The rules are those of Go's os/exec.LookPath, which runc uses. */
#include "agent/exec_path.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/own.h"
#include "base/path.h"
#include "base/str.h"

#define PASSWD_MAX_BYTES (4u << 20)

const char *errno_words(int code, char *buf, size_t size)
{
	(void)snprintf(buf, size, "%s", strerror(code));
	buf[0] = (char)tolower((unsigned char)buf[0]);
	return buf;
}

const char *env_get(char *const *env, const char *name)
{
	size_t len = strlen(name);
	const char *found = NULL;

	for (; *env; env++) {
		if (strncmp(*env, name, len) == 0 && (*env)[len] == '=')
			found = *env + len + 1;
	}
	return found;
}

/* 0, or why it cannot be executed. */
static int check_executable(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return -errno;
	if (S_ISDIR(st.st_mode))
		return -EISDIR;
	if (faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) < 0)
		return -EACCES;
	return 0;
}

static int find_as_given(const char *name, char **out, struct err *err)
{
	char why[64];
	int ret = check_executable(name);

	if (ret == -EACCES || ret == -EISDIR)
		return err_say(err, -ret, "exec: \"%s\": %s", name,
			       errno_words(-ret, why, sizeof(why)));
	if (ret < 0)
		return err_say(err, -ret, "exec: \"%s\": stat %s: %s", name, name,
			       errno_words(-ret, why, sizeof(why)));
	*out = strdup(name);
	return *out ? 0 : err_set(err, ENOMEM, "exec: \"%s\"", name);
}

int exec_path_find(const char *name, const char *path, char **out, struct err *err)
{
	if (strchr(name, '/'))
		return find_as_given(name, out, err);
	while (name[0] && path && *path) {
		size_t len = strcspn(path, ":");
		AUTO_FREE char *candidate = str_printf("%.*s/%s", (int)len, path, name);

		if (!candidate)
			return err_set(err, ENOMEM, "exec: \"%s\"", name);
		/* An empty or relative entry would mean the working directory: not searched, as in Go. */
		if (path[0] == '/' && check_executable(candidate) == 0) {
			*out = TAKE_PTR(&candidate);
			return 0;
		}
		path += len + (path[len] == ':');
	}
	return err_say(err, ENOENT, "exec: \"%s\": executable file not found in $PATH", name);
}

/* name:password:uid:gid:comment:home:shell */
static bool passwd_line(const char *line, size_t len, uint32_t uid, const char **home,
			size_t *home_len)
{
	const char *field[7], *end = line + len;
	char number[16];
	uint64_t value;
	size_t n = 0, digits;

	for (field[n++] = line; n < ARRAY_SIZE(field); n++) {
		const char *colon = memchr(field[n - 1], ':', (size_t)(end - field[n - 1]));

		if (!colon)
			return false;
		field[n] = colon + 1;
	}
	digits = (size_t)(field[3] - field[2]) - 1;
	if (digits >= sizeof(number))
		return false;
	memcpy(number, field[2], digits);
	number[digits] = '\0';
	if (str_to_u64(number, 0, UINT32_MAX, &value) < 0 || value != uid)
		return false;
	*home = field[5];
	*home_len = (size_t)(field[6] - field[5]) - 1;
	return true;
}

int passwd_home(const char *passwd, uint32_t uid, char **out)
{
	const char *home = "/";
	size_t home_len = 1;

	while (*passwd) {
		size_t len = strcspn(passwd, "\n");

		if (passwd_line(passwd, len, uid, &home, &home_len))
			break;
		passwd += len + (passwd[len] == '\n');
	}
	*out = home_len ? strndup(home, home_len) : strdup("/");
	return *out ? 0 : -ENOMEM;
}

static char *home_variable(uint32_t uid)
{
	AUTO_FREE char *passwd = NULL;
	AUTO_FREE char *home = NULL;
	struct err ignored = ERR_INIT;

	/* An image without /etc/passwd is an ordinary one. */
	if (path_read(AT_FDCWD, "/etc/passwd", PASSWD_MAX_BYTES, &passwd, NULL, &ignored) < 0)
		return strdup("HOME=/");
	if (passwd_home(passwd, uid, &home) < 0)
		return NULL;
	return str_printf("HOME=%s", home);
}

int exec_environment(const struct oci_process *process, char ***out, struct err *err)
{
	const char *home = process->env.n ? env_get(process->env.v, "HOME") : NULL;
	bool need_home = !home || !home[0];
	AUTO_FREE char **env = calloc(process->env.n + 2, sizeof(*env));
	size_t n = 0;

	if (!env)
		return err_set(err, ENOMEM, "make the environment");
	for (size_t i = 0; i < process->env.n; i++) {
		if (!need_home || !str_starts(process->env.v[i], "HOME="))
			env[n++] = process->env.v[i];
	}
	if (need_home) {
		env[n] = home_variable(process->user.uid);
		if (!env[n])
			return err_set(err, ENOMEM, "make the environment");
	}
	*out = TAKE_PTR(&env);
	return 0;
}

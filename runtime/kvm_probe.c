/* Runs the probe program and takes its verdict: the exit status says usable or not, the first line says why. */
#include "runtime/kvm_probe.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>

#include "base/fd.h"
#include "base/own.h"
#include "base/spawn.h"

#define PROBE_PATH NACRE_PREFIX "/libexec/nacre/kvm-probe"

static int wait_status(pid_t pid)
{
	int status = 0;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int kvm_probe_run(const char *cache_dir, char words[KVM_PROBE_WORDS], struct err *err)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC))
		return err_set(err, errno, "make a pipe for the KVM probe");
	AUTO_FD int reader = fds[0];
	AUTO_FD int writer = fds[1];
	const struct spawn_fd out = {writer, STDOUT_FILENO};
	const char *argv[] = {"kvm-probe", "--cache", cache_dir, NULL};
	const struct spawn s = {
		.path = PROBE_PATH,
		.argv = (char *const *)(uintptr_t)argv,
		.fds = &out,
		.nfds = 1,
		.kill_on_parent_death = SIGKILL,
	};
	pid_t pid = 0;
	int rc = spawn_start(&s, &pid, NULL, err);
	if (rc)
		return rc;
	own_close(&writer);
	ssize_t n = fd_read_full(reader, words, KVM_PROBE_WORDS - 1);
	words[n > 0 ? n : 0] = '\0';
	words[strcspn(words, "\n")] = '\0';
	own_close(&reader);
	int status = wait_status(pid);
	if (status == 0)
		return 0;
	return err_say(err, ENOTSUP, "%s", *words ? words : "the KVM probe gave no verdict");
}

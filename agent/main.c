/*
 * nacre-agent, pid 1 of the guest. Whatever cannot be done at start ends the guest with one line on its console, which the
 * monitor quotes.
 *
 *	nacre-agent
 *	nacre-agent --test-fd CONTROL LISTENER SHARED CGROUP
 *
 * The second form is for tests: connected control socket and listening stream socket are inherited by number, the shared
 * tree and the cgroup directory are named, and the machine is left as it is.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/guest_setup.h"
#include "agent/rootfs.h"
#include "base/fd.h"
#include "base/own.h"
#include "base/path.h"
#include "base/str.h"

static void say_ready(void)
{
	guest_say("ready");
}

static void say_nothing(void)
{
}

static int run_guest(uint64_t init_ns, struct err *err)
{
	struct agent_params params = {.is_guest = true, .init_ns = init_ns, .ready = say_ready};
	int ret = guest_setup(err);

	if (ret == 0)
		ret = guest_cgroup_open(&params.cgroup_fd, err);
	if (ret == 0)
		ret = guest_listen(&params.listen_fd, err);
	if (ret == 0)
		ret = guest_connect(&params.control_fd, err);
	return ret < 0 ? ret : agent_run(&params, err);
}

static int inherited_fd(const char *text, int *fd, struct err *err)
{
	uint64_t number;

	if (str_to_u64(text, 0, 1023, &number) < 0 || fd_set_cloexec((int)number, true) < 0)
		return err_say(err, EINVAL, "'%s' is not an open descriptor", text);
	*fd = (int)number;
	return 0;
}

static int run_test(char **argv, struct err *err)
{
	struct agent_params params = {.is_guest = false, .ready = say_nothing};
	int ret = inherited_fd(argv[0], &params.control_fd, err);

	if (ret == 0)
		ret = inherited_fd(argv[1], &params.listen_fd, err);
	if (ret == 0)
		ret = path_mkdirs(AT_FDCWD, ROOTFS_MOUNT_POINT, 0755, err);
	if (ret < 0)
		return ret;
	params.shared_dir = argv[2];
	params.cgroup_fd = open(argv[3], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (params.cgroup_fd < 0)
		return err_set(err, errno, "open '%s'", argv[3]);
	return agent_run(&params, err);
}

int main(int argc, char **argv)
{
	const uint64_t init_ns = agent_boot_ns();
	struct err err = ERR_INIT;

	if (getpid() == 1 && argc == 1) {
		if (run_guest(init_ns, &err) < 0)
			guest_say(err.text);
		guest_end();
	}
	if (argc != 6 || strcmp(argv[1], "--test-fd") != 0) {
		(void)fprintf(stderr, "nacre-agent is pid 1 of a guest and is not run by hand\n");
		return 2;
	}
	if (run_test(argv + 2, &err) < 0) {
		(void)fprintf(stderr, "nacre-agent: %s\n", err.text);
		return 1;
	}
	return 0;
}

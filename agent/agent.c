/* See agent.h: from descriptors to a serving agent and back. */
#include "agent/agent.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>

#include "agent/agent_internal.h"
#include "base/log.h"
#include "base/own.h"

/* Each live process holds a WaitProcess: with ttrpc's own limit the 257th would make a pod deaf to Signal and Shutdown. */
#define MAX_REQUESTS 65536

/* ... and some ten descriptors: Linux starts us with 1024. */
#define MAX_FDS 16384

static void on_sigchld(void *arg, int signo)
{
	struct agent *agent = arg;

	(void)signo;
	containers_reap(&agent->containers);
}

static void on_close(void *arg, struct ttrpc_conn *conn, const struct err *why)
{
	struct agent *agent = arg;

	(void)conn;
	if (why->code)
		log_warn("control connection: %s", why->text);
	loop_stop(agent->loop);
}

static void on_goodbye_late(void *arg)
{
	struct agent *agent = arg;

	loop_stop(agent->loop);
}

/* The processes get what we were started with. */
static void take_descriptors(struct containers *set)
{
	struct rlimit more;

	if (getrlimit(RLIMIT_NOFILE, &set->nofile) < 0 || set->nofile.rlim_cur >= MAX_FDS)
		return;
	more = set->nofile;
	more.rlim_cur = MAX_FDS;
	if (more.rlim_max < MAX_FDS)
		more.rlim_max = MAX_FDS;
	if (setrlimit(RLIMIT_NOFILE, &more) < 0)
		log_warn("no more than %llu descriptors: errno %d",
			 (unsigned long long)set->nofile.rlim_cur, errno);
}

static int agent_open(struct agent *agent, const struct agent_params *params, struct err *err)
{
	struct ttrpc_conn_params control = {.fd = params->control_fd,
					    .methods = service_methods(),
					    .arg = agent,
					    .limits = {.max_requests = MAX_REQUESTS},
					    .on_close = on_close};
	sigset_t children;
	int ret;

	(void)sigemptyset(&children);
	(void)sigaddset(&children, SIGCHLD);
	(void)signal(SIGPIPE, SIG_IGN);
	/*
	 * A child has our memory and rights until its execve, which makes it dumpable again, and is born in its container's pid
	 * namespace: the container's processes must not trace it for a moment. Should it ask for that itself, they could be first.
	 */
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return err_set(err, errno, "set not dumpable");
	take_descriptors(&agent->containers);
	kernel_words_open(&agent->containers.kernel);
	ret = loop_create(&agent->loop, err);
	if (ret < 0)
		return ret;
	control.loop = agent->loop;
	agent->containers.loop = agent->loop;
	ret = loop_add_signals(agent->loop, &children, on_sigchld, agent, NULL, err);
	if (ret == 0)
		ret = loop_add_timer(agent->loop, on_goodbye_late, agent, &agent->goodbye, err);
	if (ret == 0)
		ret = stream_door_create(agent->loop, params->listen_fd, params->is_guest,
					 &agent->containers.door, err);
	if (ret == 0)
		ret = ttrpc_conn_create(&control, &agent->control, err);
	return ret;
}

static void agent_close(struct agent *agent)
{
	if (agent->control)
		ttrpc_conn_destroy(agent->control);
	containers_destroy(&agent->containers);
	kernel_words_close(&agent->containers.kernel);
	stream_door_destroy(agent->containers.door);
	loop_destroy(agent->loop);
	network_done(&agent->network);
	own_close(&agent->containers.cgroup_fd);
}

uint64_t agent_boot_ns(void)
{
	struct timespec now = {0};

	(void)clock_gettime(CLOCK_BOOTTIME, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

int agent_run(const struct agent_params *params, struct err *err)
{
	struct agent agent = {
		.is_guest = params->is_guest,
		.init_ns = params->init_ns,
		.network = NETWORK_INIT,
		.containers = {.cgroup_fd = params->cgroup_fd,
			       .shared_dir = params->shared_dir,
			       .kernel = {.fd = -1}},
	};
	int ret = agent_open(&agent, params, err);

	if (ret == 0) {
		agent.ready_ns = agent_boot_ns();
		params->ready();
		ret = loop_run(agent.loop, err);
	}
	agent_close(&agent);
	return ret;
}

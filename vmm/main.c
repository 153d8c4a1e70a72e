/*
 * The vmm: one microVM, from its command line to its end. Ends with 0 when the guest ended by reset or shutdown, when the
 * monitor went away or when it was told to; with 1 when it could not start or KVM could not go on.
 */
#include <signal.h>
#include <stdio.h>

#include "base/err.h"
#include "base/log.h"
#include "base/loop.h"
#include "vmm/machine.h"
#include "vmm/machine_config.h"
#include "vmm/monitor.h"
#include "vmm/options.h"

struct vmm {
	struct loop *loop;
	struct machine *machine;
	struct monitor *monitor;
	struct loop_source *signals;
	uint64_t exec_us;
	bool ended;
	enum guest_end end;
	const char *detail;
};

static void on_guest_end(void *arg, enum guest_end end, const char *detail)
{
	struct vmm *vmm = arg;

	vmm->ended = true;
	vmm->end = end;
	vmm->detail = detail;
	loop_stop(vmm->loop);
}

static void on_monitor_closed(void *arg)
{
	struct vmm *vmm = arg;

	loop_stop(vmm->loop);
}

static void on_signal(void *arg, int signo UNUSED)
{
	struct vmm *vmm = arg;

	loop_stop(vmm->loop);
}

static int add_signals(struct vmm *vmm, struct err *err)
{
	sigset_t set;

	(void)signal(SIGPIPE, SIG_IGN);
	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGINT);
	return loop_add_signals(vmm->loop, &set, on_signal, vmm, &vmm->signals, err);
}

static int start(struct vmm *vmm, const struct options *options, struct err *err)
{
	AUTO_MACHINE_CONFIG struct machine_config config = {0};
	const struct machine_events events = {.on_end = on_guest_end, .arg = vmm};
	struct machine_times times;
	int rc = machine_config_open(options, &config, err);

	if (rc == 0)
		rc = loop_create(&vmm->loop, err);
	if (rc == 0)
		rc = add_signals(vmm, err);
	if (rc == 0 && options->monitor_fd >= 0)
		rc = monitor_create((int)options->monitor_fd, vmm->loop, on_monitor_closed, vmm,
				    &vmm->monitor, err);
	if (rc == 0)
		rc = machine_create(&config, vmm->loop, &events, &vmm->machine, err);
	if (rc == 0)
		rc = machine_start(vmm->machine, err);
	if (rc < 0)
		return rc;
	times = machine_times(vmm->machine);
	times.exec_us = vmm->exec_us;
	monitor_send_running(vmm->monitor, &times);
	return 0;
}

/* The console's last words leave before the news of the end does. */
static int finish(struct vmm *vmm)
{
	machine_stop(vmm->machine);
	if (!vmm->ended)
		return 0;
	monitor_send_ended(vmm->monitor, vmm->end, vmm->detail);
	if (vmm->end != GUEST_INTERNAL_ERROR)
		return 0;
	log_error("the guest ended by an internal error: %s", vmm->detail);
	return 1;
}

static int run(const struct options *options, uint64_t exec_us)
{
	struct vmm vmm = {.exec_us = exec_us, .detail = ""};
	struct err err = ERR_INIT;
	int status = 1;
	int rc = start(&vmm, options, &err);

	if (rc == 0)
		rc = loop_run(vmm.loop, &err);
	if (rc == 0)
		status = finish(&vmm);
	else
		log_error("%s%s%s", options->name ? options->name : "", options->name ? ": " : "",
			  err.text);
	machine_destroy(vmm.machine);
	monitor_destroy(vmm.monitor);
	loop_remove(vmm.signals);
	loop_destroy(vmm.loop);
	return status;
}

int main(int argc, char **argv)
{
	uint64_t exec_us = machine_now_us();
	AUTO_OPTIONS struct options options = {0};
	struct err err = ERR_INIT;

	if (options_parse(argc, argv, &options, &err) < 0) {
		(void)fprintf(stderr, "vmm: %s\n", err.text);
		return 1;
	}
	if (options.help) {
		options_help(stdout);
		return 0;
	}
	if (options.version) {
		(void)printf("nacre vmm %s\n", NACRE_VERSION);
		return 0;
	}
	return run(&options, exec_us);
}

/*
 * The vmm: one microVM, from its command line to its end. Ends with 0 when the guest ended by reset or shutdown, when the
 * monitor went away or when it was told to; with 1 when it could not start or KVM could not go on.
 */
#include <signal.h>
#include <stdio.h>

#include "base/err.h"
#include "base/log.h"
#include "base/loop.h"
#include "vmm/control.h"
#include "vmm/machine_config.h"
#include "vmm/options.h"

static int run(const struct options *options, uint64_t exec_us)
{
	CLEANUP(own_control_destroy) struct control *control = NULL;
	struct err err = ERR_INIT;
	int status = 0;
	int rc = control_create(options, exec_us, &control, &err);

	if (rc == 0)
		rc = control_run(control, &status, &err);
	if (rc == 0)
		return status;
	log_error("%s%s%s", options->name ? options->name : "", options->name ? ": " : "",
		  err.text);
	return 1;
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

/* `nacre check`: one line for each thing a container needs of this host, so that a failure names its remedy. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "config/plan.h"
#include "runtime/cli.h"
#include "runtime/cli_args.h"
#include "runtime/kvm_probe.h"
#include "runtime/vmm_process.h"

static bool say(const char *what, int rc, const struct err *err, const char *good)
{
	(void)printf("%-14s %s%s\n", what, rc ? "FAILED: " : "ok: ", rc ? err->text : good);
	return rc == 0;
}

static bool check_file(const char *what, const char *path, int mode, const char *remedy)
{
	struct err err = ERR_INIT;
	int rc = access(path, mode) ? err_set(&err, errno, "'%s' (%s)", path, remedy) : 0;

	return say(what, rc, &err, path);
}

int cli_check(struct cli *cli, int argc, char *const argv[], struct err *err)
{
	static const struct flag_def defs[] = {{NULL, 0, FLAG_BOOL, NULL, NULL, NULL}};
	CLEANUP(own_nacre_config_destroy) struct nacre_config *config = NULL;
	struct err why = ERR_INIT;
	char words[KVM_PROBE_WORDS] = "";
	char *const *args = NULL;
	int nargs = 0;
	int rc = cli_args(argc, argv, defs, 0, 0, &args, &nargs, err);

	if (rc)
		return rc < 0 ? rc : 0;
	const char *dir = getenv("NACRE_CONFIG_DIR");
	rc = nacre_config_load(dir ? dir : "/etc/nacre", &config, &why);
	bool good = say("configuration", rc, &why, dir ? dir : "/etc/nacre");

	rc = kvm_probe_run(cli->root, words, &why);
	good = say("kvm", rc, &why, words) && good;
	if (config) {
		good = check_file("vmm", config->vmm_path, X_OK, "reinstall Nacre") && good;
		good = check_file("kernel", config->kernel_path, R_OK,
				  "install Nacre's guest assets") &&
		       good;
		good = check_file("initramfs", config->initramfs_path, R_OK,
				  "install Nacre's guest assets") &&
		       good;
	}
	return good ? 0 : err_say(err, ENOTSUP, "this host cannot run containers with nacre yet");
}

/* What runs in the machine, under which name, and what the program itself does beside. */
#include <errno.h>
#include <string.h>

#include "vmm/options/family.h"

static int parse_kernel(struct options *o, const char *arg, struct err *err UNUSED)
{
	o->kernel = arg;
	return 0;
}

static int parse_initrd(struct options *o, const char *arg, struct err *err UNUSED)
{
	o->initrd = arg;
	return 0;
}

static int parse_append(struct options *o, const char *arg, struct err *err UNUSED)
{
	o->append = arg;
	return 0;
}

static int parse_name(struct options *o, const char *arg, struct err *err UNUSED)
{
	o->name = arg;
	return 0;
}

/* 8-4-4-4-12 hexadecimal digits (RFC 4122, 3). */
static int parse_uuid(struct options *o, const char *arg, struct err *err)
{
	static const char form[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
	size_t i = 0;

	for (; form[i] && arg[i]; i++) {
		if (form[i] == '-' ? arg[i] != '-' : !strchr("0123456789abcdefABCDEF", arg[i]))
			break;
	}
	if (form[i] || arg[i])
		return err_say(err, EINVAL, "-uuid %s: a UUID like %s is needed", arg, form);
	o->uuid = arg;
	return 0;
}

/* Without a file it is standard output, where Kata's driver listens for StratoVirt's messages. */
static int parse_log(struct options *o, const char *arg, struct err *err UNUSED)
{
	o->log_path = arg;
	o->log_stdout = !arg;
	return 0;
}

static int parse_pidfile(struct options *o, const char *arg, struct err *err UNUSED)
{
	o->pid_path = arg;
	return 0;
}

static int parse_freeze(struct options *o, const char *arg UNUSED, struct err *err UNUSED)
{
	o->freeze = true;
	return 0;
}

static int parse_no_reboot(struct options *o, const char *arg UNUSED, struct err *err UNUSED)
{
	o->reboot = false;
	o->no_reset = true;
	return 0;
}

static int parse_action(struct options *o, const char *arg, struct err *err)
{
	if (strcmp(arg, "reboot=reset") != 0 && strcmp(arg, "reboot=shutdown") != 0)
		return err_say(err, EINVAL, "-action %s: reboot=reset or reboot=shutdown is needed",
			       arg);
	o->reboot = !strcmp(arg, "reboot=reset");
	o->no_reset = !o->reboot;
	return 0;
}

static int parse_daemonize(struct options *o, const char *arg UNUSED, struct err *err UNUSED)
{
	o->daemonize = true;
	return 0;
}

static int parse_jail(struct options *o, const char *arg, struct err *err)
{
	if (arg[0] != '/')
		return err_say(err, EINVAL, "-jail %s: an absolute path is needed", arg);
	o->jail_root = arg;
	return 0;
}

static int parse_disable_seccomp(struct options *o, const char *arg UNUSED, struct err *err UNUSED)
{
	o->no_seccomp = true;
	return 0;
}

static int parse_help(struct options *o, const char *arg UNUSED, struct err *err UNUSED)
{
	o->help = true;
	return 0;
}

static int parse_version(struct options *o, const char *arg UNUSED, struct err *err UNUSED)
{
	o->version = true;
	return 0;
}

/* A jailed engine is the first process of its namespaces, which end with it; and who has no terminal has no use for one. */
int options_check_daemon(const struct options *o, struct err *err)
{
	bool uses_stdio = o->serial == SERIAL_STDIO;

	for (size_t i = 0; i < o->nchardevs; i++)
		uses_stdio |= !strcmp(o->chardevs[i].kind, "stdio");
	if (o->daemonize && o->jail_root)
		return err_say(err, EINVAL,
			       "-daemonize: not in a jail: who makes its namespaces lets it go");
	if (o->daemonize && uses_stdio)
		return err_say(err, EINVAL,
			       "-daemonize: standard input and output are left behind: give the "
			       "console a file or a socket");
	return 0;
}

static const struct option table[] = {
	{"kernel", "FILE", "guest kernel: vmlinux with a PVH entry, or bzImage", parse_kernel},
	{"initrd", "FILE", "initial file system of the guest", parse_initrd},
	{"append", "TEXT", "added to the kernel's command line", parse_append},
	{"name", "TEXT", "name of the machine, for messages and query-name", parse_name},
	{"uuid", "UUID", "what query-uuid answers", parse_uuid},
	{"S", NULL, "wait for QMP's cont before the guest runs", parse_freeze},
	{"D", "[FILE]", "messages are appended to FILE, or go to standard output", parse_log},
	{"daemonize", NULL, "go on without the terminal once the machine is there",
	 parse_daemonize},
	{"pidfile", "FILE", "the number of this process is written there", parse_pidfile},
	{"action", "reboot=reset|shutdown", "a guest that resets begins anew, or ends (shutdown)",
	 parse_action},
	{"no-reboot", NULL, "the same as -action reboot=shutdown", parse_no_reboot},
	{"jail", "DIR", "be confined to DIR; takes namespaces of our own", parse_jail},
	{"disable-seccomp", NULL, "no lists of system calls in the jail", parse_disable_seccomp},
	{"version", NULL, "print the version and end", parse_version},
	{"help", NULL, "print this and end", parse_help},
};
const struct option_family options_of_boot = {table, ARRAY_SIZE(table)};

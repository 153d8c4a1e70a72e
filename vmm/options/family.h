/* The families of options: a table each, one line an option, from which parsing and the help text come. */
#ifndef NACRE_VMM_OPTIONS_FAMILY_H
#define NACRE_VMM_OPTIONS_FAMILY_H

#include "vmm/options.h"
#include "vmm/props.h"

struct option {
	const char *name;
	const char *arg; /* NULL: a flag; "[...]": may be left out */
	const char *help;
	int (*parse)(struct options *o, const char *arg, struct err *err);
};

struct option_family {
	const struct option *options;
	size_t n;
};

extern const struct option_family options_of_boot;     /* kernel, log, end */
extern const struct option_family options_of_machine;  /* memory, vCPUs, what the machine is */
extern const struct option_family options_of_devices;  /* devices and objects */
extern const struct option_family options_of_backends; /* drives, networks, descriptors */
extern const struct option_family options_of_control;  /* QMP, console, monitor */

/* A private copy to cut up; NULL with `err` set. */
char *options_copy(struct options *o, const char *arg, struct err *err);
/* "-OPTION N": the number of an open descriptor. */
int options_fd(const char *option, const char *arg, int64_t *out, struct err *err) MUST_CHECK;

/* "-device virtconsole,": cuts `props` up, which is a copy. */
int options_add_console(struct options *o, char *props, struct err *err) MUST_CHECK;

/* After all is parsed: the slots that nobody has counted. */
void options_add_slots(struct options *o);

/* After all is parsed: what names another must find it. Each family checks its own. */
int options_check_devices(const struct options *o, struct err *err) MUST_CHECK;
int options_check_daemon(const struct options *o, struct err *err) MUST_CHECK;
int options_check_consoles(const struct options *o, struct err *err) MUST_CHECK;
int options_check_control(const struct options *o, struct err *err) MUST_CHECK;

#endif

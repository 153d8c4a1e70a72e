/* From argv to struct options, by the tables of the families. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "base/str.h"
#include "vmm/options/family.h"

#define DEFAULT_MEMORY_MIB 256

static const struct option_family *const families[] = {
	&options_of_boot,    &options_of_machine, &options_of_backends,
	&options_of_devices, &options_of_control,
};

char *options_copy(struct options *o, const char *arg, struct err *err)
{
	char *copy;

	if (o->ncopies == OPTIONS_MAX_COPIES) {
		(void)err_say(err, E2BIG, "too many options");
		return NULL;
	}
	copy = strdup(arg);
	if (!copy) {
		(void)err_set(err, ENOMEM, "options");
		return NULL;
	}
	o->copies[o->ncopies++] = copy;
	return copy;
}

int options_fd(const char *option, const char *arg, int64_t *out, struct err *err)
{
	if (str_to_i64(arg, 0, INT_MAX, out) < 0)
		return err_say(err, EINVAL, "-%s %s: the number of an open descriptor is needed",
			       option, arg);
	return 0;
}

static void help_option(FILE *to, const struct option *o)
{
	(void)fprintf(to, "  -%s%s%s\n", o->name, o->arg ? " " : "", o->arg ? o->arg : "");
	for (const char *line = o->help; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		(void)fprintf(to, "        %.*s\n", (int)strcspn(line, "\n"), line);
	}
}

void options_help(FILE *to)
{
	(void)fputs("usage: vmm -kernel FILE [option]...\n", to);
	for (size_t f = 0; f < ARRAY_SIZE(families); f++) {
		for (size_t i = 0; i < families[f]->n; i++)
			help_option(to, &families[f]->options[i]);
	}
}

static const struct option *find_option(const char *arg)
{
	const char *name = arg + (str_starts(arg, "--") ? 2 : 1);

	if (arg[0] != '-')
		return NULL;
	for (size_t f = 0; f < ARRAY_SIZE(families); f++) {
		for (size_t i = 0; i < families[f]->n; i++) {
			if (!strcmp(families[f]->options[i].name, name))
				return &families[f]->options[i];
		}
	}
	return NULL;
}

static int check_whole(const struct options *o, struct err *err)
{
	int rc;

	if (o->help || o->version)
		return 0;
	if (!o->kernel)
		return err_say(err, EINVAL, "-kernel is missing");
	rc = options_check_devices(o, err);
	if (rc == 0)
		rc = options_check_consoles(o, err);
	if (rc == 0)
		rc = options_check_control(o, err);
	if (rc == 0)
		rc = options_check_daemon(o, err);
	return rc;
}

/* *i is the option's index, and that of its argument afterwards. */
static int parse_one(int argc, char *const *argv, int *i, struct options *out, struct err *err)
{
	const struct option *o = find_option(argv[*i]);
	bool more = *i + 1 < argc;

	if (!o)
		return err_say(err, EINVAL, "'%s' is no option: -help lists them", argv[*i]);
	if (!o->arg)
		return o->parse(out, NULL, err);
	if (o->arg[0] == '[' && (!more || argv[*i + 1][0] == '-'))
		return o->parse(out, NULL, err);
	if (!more)
		return err_say(err, EINVAL, "-%s: %s is missing", o->name, o->arg);
	return o->parse(out, argv[++*i], err);
}

int options_parse(int argc, char *const *argv, struct options *out, struct err *err)
{
	*out = (struct options){
		.memory_mib = DEFAULT_MEMORY_MIB,
		.vcpus = 1,
		.max_vcpus = 1,
		.serial_fd = -1,
		.monitor_fd = -1,
		.kvm_fd = -1,
	};
	for (int i = 1; i < argc; i++) {
		int rc = parse_one(argc, argv, &i, out, err);

		if (rc < 0)
			return rc;
	}
	options_add_slots(out);
	return check_whole(out, err);
}

void options_done(struct options *o)
{
	for (size_t i = 0; i < o->ncopies; i++)
		free(o->copies[i]);
	o->ncopies = 0;
}

/*
 * The shim's command line. Standard output belongs to the answer: containerd reads it together with standard error, so not a byte
 * goes there beside it, and an error is the one line that replaces it.
 */
#include "runtime/shim.h"

#include <errno.h>
#include <fcntl.h>
#include <sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent-proto/containerd.pb-c.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/own.h"
#include "base/path.h"
#include "base/str.h"
#include "config/oci.h"
#include "config/plan.h"
#include "runtime/flags.h"
#include "runtime/state_dir.h"

#define SOCKET_DIR "/run/containerd/s"

static const char *const group_annotations[] = {
	"io.containerd.runc.v2.group",
	"io.kubernetes.cri.sandbox-id",
	"io.kubernetes.cri-o.SandboxID",
};

const char *shim_group_of(const struct oci_spec *spec, const char *id)
{
	for (size_t i = 0; i < ARRAY_SIZE(group_annotations); i++) {
		const char *value = oci_annotation(spec, group_annotations[i]);

		if (value && *value)
			return value;
	}
	return id;
}

int shim_group(const char *bundle, const char *id, char **out, struct err *err)
{
	AUTO_FREE char *path = str_printf("%s/config.json", bundle);
	AUTO_FREE char *text = NULL;
	CLEANUP(own_oci_spec_destroy) struct oci_spec *spec = NULL;
	const char *group = id;
	size_t len = 0;

	if (!path)
		return err_set(err, ENOMEM, "read the bundle");
	int rc = path_read(AT_FDCWD, path, OCI_MAX_SPEC_BYTES, &text, &len, err);
	/* A sandbox of containerd's own sandbox service has none; a bundle being removed no longer. */
	if (rc && rc != -ENOENT)
		return rc;
	if (!rc)
		rc = oci_parse(text, len, path, &spec, err);
	if (!rc)
		group = shim_group_of(spec, id);
	if (rc && rc != -ENOENT)
		return rc;
	rc = container_id_check(group, err);
	if (rc)
		return rc;
	*out = strdup(group);
	return *out ? 0 : err_set(err, ENOMEM, "read the bundle");
}

int shim_state_dir(const char *namespace_, const char *group, char **out, struct err *err)
{
	int rc = container_id_check(namespace_, err);

	if (rc)
		return err_wrap(err, "containerd namespace");
	AUTO_FREE char *root = str_printf("%s/@%s", STATE_ROOT_DEFAULT, namespace_);
	if (!root)
		return err_set(err, ENOMEM, "name the state directory");
	return state_dir_path(root, group, out, err);
}

int shim_socket_path(const struct shim_args *args, const char *group, char **out, struct err *err)
{
	char hex[SHA256_DIGEST_STRING_LENGTH];
	AUTO_FREE char *name = str_printf("%s/%s/%s", args->address, args->namespace_, group);

	if (!name)
		return err_set(err, ENOMEM, "name the socket");
	/* containerd's convention; not a secret. */
	(void)SHA256Data((const uint8_t *)name, strlen(name), hex);
	*out = str_printf("%s/%s", SOCKET_DIR, hex);
	return *out ? 0 : err_set(err, ENOMEM, "name the socket");
}

static int print_info(struct err *err)
{
	Containerd__RuntimeInfo info = CONTAINERD__RUNTIME_INFO__INIT;
	Containerd__RuntimeVersion version = CONTAINERD__RUNTIME_VERSION__INIT;
	char name[] = SHIM_RUNTIME_NAME, number[] = NACRE_VERSION;
	uint8_t packed[512];

	version.version = number;
	info.name = name;
	info.version = &version;
	BUG_ON(containerd__runtime_info__get_packed_size(&info) > sizeof(packed));
	int rc =
		fd_write_full(STDOUT_FILENO, packed, containerd__runtime_info__pack(&info, packed));
	return rc ? err_set(err, -rc, "print the runtime's information") : 0;
}

static int print_version(struct err *err)
{
	int rc = printf("%s\n  version: %s\n", SHIM_RUNTIME_NAME, NACRE_VERSION);

	return rc < 0 ? err_set(err, EIO, "print the version") : 0;
}

static int run(const struct shim_args *args, const char *verb, struct err *err)
{
	if (args->version)
		return print_version(err);
	if (args->info)
		return print_info(err);
	if (!verb)
		return err_say(err, EINVAL,
			       "this is a shim: containerd runs it, for `ctr run "
			       "--runtime " SHIM_RUNTIME_NAME "`");
	if (!*args->id || !*args->namespace_)
		return err_say(err, EINVAL, "-id and -namespace are needed");
	if (strcmp(verb, "start") == 0)
		return shim_start(args, err);
	if (strcmp(verb, "delete") == 0)
		return shim_delete(args, err);
	return err_say(err, EINVAL, "unknown command '%s'", verb);
}

int shim_main(int argc, char *const argv[])
{
	struct shim_args args = {
		.namespace_ = "", .address = "", .publish_binary = "", .id = "", .bundle = "."};
	struct err err = ERR_INIT;
	int next = argc;
	const struct flag_def defs[] = {
		{"namespace", 0, FLAG_STRING, &args.namespace_, NULL, NULL},
		{"address", 0, FLAG_STRING, &args.address, NULL, NULL},
		{"publish-binary", 0, FLAG_STRING, &args.publish_binary, NULL, NULL},
		{"id", 0, FLAG_STRING, &args.id, NULL, NULL},
		{"bundle", 0, FLAG_STRING, &args.bundle, NULL, NULL},
		{"debug", 0, FLAG_BOOL, &args.debug, NULL, NULL},
		{"socket", 0, FLAG_IGNORED_STRING, NULL, NULL, NULL},
		{"debug-socket", 0, FLAG_IGNORED_STRING, NULL, NULL, NULL},
		{"info", 0, FLAG_BOOL, &args.info, NULL, NULL},
		{"version", 'v', FLAG_BOOL, &args.version, NULL, NULL},
		{NULL, 0, FLAG_BOOL, NULL, NULL, NULL},
	};
	int rc = flags_parse(argc, argv, defs, &next, &err);

	log_init(STDERR_FILENO, LOG_LEVEL_ERROR, LOG_FORMAT_TEXT);
	if (!rc)
		rc = run(&args, next < argc ? argv[next] : NULL, &err);
	if (!rc)
		return EXIT_SUCCESS;
	(void)fprintf(stderr, "%s\n", err.text);
	return EXIT_FAILURE;
}

/* `nacre state` and `nacre list`: what is known of containers, as runc prints it. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/own.h"
#include "base/path.h"
#include "base/str.h"
#include "runtime/cli.h"
#include "runtime/cli_args.h"
#include "config/json.h"
#include "runtime/lifecycle.h"
#include "runtime/start_record.h"
#include "runtime/state_dir.h"

/* start.json, or NULL before the first start. */
static struct json_object *start_json(const char *dir)
{
	AUTO_FREE char *path = str_printf("%s/%s", dir, START_RECORD_FILE);
	AUTO_FREE char *text = NULL;
	struct json_object *o = NULL;
	size_t len = 0;

	if (path && path_read(AT_FDCWD, path, START_RECORD_MAX_BYTES, &text, &len, NULL) == 0 &&
	    json_parse(text, len, path, false, &o, NULL))
		o = NULL;
	return o;
}

static struct json_object *state_json(const char *dir, const struct container_state *s,
				      Containerd__Status status, pid_t pid)
{
	struct json_object *o = json_object_new_object();

	if (!o)
		return NULL;
	json_object_object_add(o, "ociVersion", json_object_new_string(s->oci_version));
	json_object_object_add(o, "id", json_object_new_string(s->id));
	json_object_object_add(o, "pid", json_object_new_int(pid));
	json_object_object_add(o, "status", json_object_new_string(lifecycle_status_name(status)));
	json_object_object_add(o, "bundle", json_object_new_string(s->bundle));
	json_object_object_add(o, "rootfs", json_object_new_string(s->rootfs));
	json_object_object_add(o, "created", json_object_new_string(s->created));
	json_object_object_add(o, "annotations", json_tokener_parse(s->annotations_json));
	json_object_object_add(o, "owner", json_object_new_string(""));
	struct json_object *start = start_json(dir);

	if (start)
		json_object_object_add(o, "nacre.start", start);
	return o;
}

static int load(const struct cli *cli, const char *id, struct json_object **out, struct err *err)
{
	AUTO_FREE char *dir = NULL;
	CLEANUP(own_container_state_destroy) struct container_state *s = NULL;
	Containerd__Status status = CONTAINERD__STATUS__UNKNOWN;
	pid_t pid = 0;
	int rc = state_dir_path(cli->root, id, &dir, err);

	if (!rc)
		rc = state_dir_exists(dir, err);
	if (!rc)
		rc = container_state_load(dir, &s, err);
	/* A create that is under way, or was killed, has no state yet. */
	if (rc == -ENOENT)
		return err_say(err, ENOENT, "container does not exist");
	if (!rc)
		rc = lifecycle_state(cli->root, id, &status, &pid, err);
	if (rc)
		return rc;
	*out = state_json(dir, s, status, pid);
	return *out ? 0 : err_set(err, ENOMEM, "print the state");
}

int cli_state(struct cli *cli, int argc, char *const argv[], struct err *err)
{
	static const struct flag_def defs[] = {{NULL, 0, FLAG_BOOL, NULL, NULL, NULL}};
	AUTO_JSON struct json_object *o = NULL;
	char *const *words = NULL;
	int nwords = 0;
	int rc = cli_args(argc, argv, defs, 1, 1, &words, &nwords, err);

	if (rc)
		return rc < 0 ? rc : 0;
	rc = load(cli, words[0], &o, err);
	if (rc)
		return rc;
	(void)printf("%s\n", json_object_to_json_string_ext(
				     o, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE));
	return 0;
}

static const char *text_of(struct json_object *o, const char *key)
{
	struct json_object *v = NULL;

	return json_object_object_get_ex(o, key, &v) ? json_object_get_string(v) : "";
}

static void print_rows(struct json_object *list, bool quiet)
{
	const size_t n = json_object_array_length(list);

	if (!quiet)
		(void)printf("%-24s %-8s %-9s %-40s %s\n", "ID", "PID", "STATUS", "BUNDLE",
			     "CREATED");
	for (size_t i = 0; i < n; i++) {
		struct json_object *o = json_object_array_get_idx(list, i);

		if (quiet)
			(void)printf("%s\n", text_of(o, "id"));
		else
			(void)printf("%-24s %-8s %-9s %-40s %s\n", text_of(o, "id"),
				     text_of(o, "pid"), text_of(o, "status"), text_of(o, "bundle"),
				     text_of(o, "created"));
	}
}

static struct json_object *collect(const struct cli *cli)
{
	struct json_object *list = json_object_new_array();
	AUTO_DIR DIR *dir = opendir(cli->root);
	struct dirent *entry = NULL;

	while (list && dir && (entry = readdir(dir)) != NULL) {
		struct json_object *o = NULL;
		struct err ignored = ERR_INIT;

		/* Files of ours, and the other face's sandboxes, are no containers of this one. */
		if (entry->d_name[0] == '.' || entry->d_name[0] == '@')
			continue;
		if (!load(cli, entry->d_name, &o, &ignored) && json_object_array_add(list, o))
			(void)json_object_put(o);
	}
	return list;
}

int cli_list(struct cli *cli, int argc, char *const argv[], struct err *err)
{
	const char *format = "table";
	bool quiet = false;
	char *const *words = NULL;
	int nwords = 0;
	const struct flag_def defs[] = {
		{"format", 'f', FLAG_STRING, &format, "FORMAT", "table or json"},
		{"quiet", 'q', FLAG_BOOL, &quiet, NULL, "ids only"},
		{NULL, 0, FLAG_BOOL, NULL, NULL, NULL},
	};
	int rc = cli_args(argc, argv, defs, 0, 0, &words, &nwords, err);

	if (rc)
		return rc < 0 ? rc : 0;
	const bool json = strcmp(format, "json") == 0;
	if (!json && strcmp(format, "table") != 0)
		return err_say(err, EINVAL, "--format is table or json, not '%s'", format);
	AUTO_JSON struct json_object *list = collect(cli);
	if (!list)
		return err_set(err, ENOMEM, "list containers");
	if (json)
		(void)printf("%s\n",
			     json_object_to_json_string_ext(list, JSON_C_TO_STRING_NOSLASHESCAPE));
	else
		print_rows(list, quiet);
	return 0;
}

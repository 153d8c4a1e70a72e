/*
 * resources.json, read whole and rewritten atomically at each change: a handful of entries, and a reader never sees half of
 * one.
 */
#include "runtime/resources.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/log.h"
#include "base/own.h"
#include "base/path.h"
#include "base/str.h"
#include "config/json.h"
#include "runtime/sandbox_cgroup.h"
#include "runtime/state_dir.h"

#define RESOURCES_VERSION   1
#define RESOURCES_MAX_BYTES (1u << 20)
#define KILL_TIMEOUT_MS     2000

/* The list inside; NULL when it is missing. Lent. */
static struct json_object *entries_of(struct json_object *doc)
{
	struct json_object *list = NULL;

	if (!doc || !json_object_object_get_ex(doc, "resources", &list) ||
	    !json_object_is_type(list, json_type_array))
		return NULL;
	return list;
}

static int read_document(const char *path, struct json_object **out, struct err *err)
{
	AUTO_FREE char *text = NULL;
	struct json_object *version = NULL;
	int rc = path_read(AT_FDCWD, path, RESOURCES_MAX_BYTES, &text, NULL, err);

	if (rc)
		return rc;
	AUTO_JSON struct json_object *doc = json_tokener_parse(text);
	if (!json_object_is_type(doc, json_type_object) || !entries_of(doc))
		return err_say(err, EINVAL, "'%s' is no list of resources", path);
	if (!json_object_object_get_ex(doc, "version", &version) ||
	    json_object_get_int(version) != RESOURCES_VERSION)
		return err_say(err, EINVAL, "'%s' has a version this nacre does not know", path);
	*out = TAKE_PTR(&doc);
	return 0;
}

/* -ENOENT: there is none yet, or none any more. */
static int load(const char *state_dir, struct json_object **out, struct err *err)
{
	AUTO_FREE char *path = str_printf("%s/%s", state_dir, RESOURCES_FILE);

	return path ? read_document(path, out, err) : err_set(err, ENOMEM, "read the resources");
}

/* For who goes on without; NULL then. */
static struct json_object *load_any(const char *state_dir)
{
	struct json_object *doc = NULL;
	struct err err = ERR_INIT;
	int rc = load(state_dir, &doc, &err);

	if (rc && rc != -ENOENT)
		log_error("%s", err.text);
	return doc;
}

static int store(const char *state_dir, struct json_object *doc, struct err *err)
{
	AUTO_FREE char *path = str_printf("%s/%s", state_dir, RESOURCES_FILE);
	const char *text = json_object_to_json_string_ext(doc, JSON_C_TO_STRING_PLAIN);

	if (!path || !text)
		return err_set(err, ENOMEM, "write '%s/%s'", state_dir, RESOURCES_FILE);
	return path_write_atomic(AT_FDCWD, path, text, strlen(text), 0600, err);
}

static struct json_object *new_document(void)
{
	AUTO_JSON struct json_object *doc = json_object_new_object();
	struct json_object *list = json_object_new_array();

	if (!doc || !list ||
	    json_object_object_add(doc, "version", json_object_new_int(RESOURCES_VERSION)) ||
	    json_object_object_add(doc, "resources", list)) {
		(void)json_object_put(list);
		return NULL;
	}
	return TAKE_PTR(&doc);
}

/* Takes the entry. A list that cannot be read is left as it is: what it names would be forgotten. */
static int append(const char *state_dir, struct json_object *entry, struct err *err)
{
	AUTO_JSON struct json_object *doc = NULL;
	int rc = load(state_dir, &doc, err);

	if (rc == -ENOENT) {
		doc = new_document();
		rc = 0;
	}
	struct json_object *list = entries_of(doc);

	if (!rc && (!entry || !list || json_object_array_add(list, entry)))
		rc = err_set(err, ENOMEM, "write '%s/%s'", state_dir, RESOURCES_FILE);
	if (rc) {
		(void)json_object_put(entry);
		return rc;
	}
	return store(state_dir, doc, err);
}

static int add_path(const char *state_dir, const char *kind, const char *path, struct err *err)
{
	struct json_object *entry = json_object_new_object();

	if (entry) {
		json_object_object_add(entry, "kind", json_object_new_string(kind));
		json_object_object_add(entry, "path", json_object_new_string(path));
	}
	return append(state_dir, entry, err);
}

int resources_add_file(const char *state_dir, const char *path, struct err *err)
{
	return add_path(state_dir, "file", path, err);
}

int resources_add_cgroup(const char *state_dir, const char *path, struct err *err)
{
	return add_path(state_dir, "cgroup", path, err);
}

int resources_add_process(const char *state_dir, const char *what, const struct procid *id,
			  struct err *err)
{
	struct json_object *entry = json_object_new_object();

	if (entry) {
		json_object_object_add(entry, "kind", json_object_new_string("process"));
		json_object_object_add(entry, "what", json_object_new_string(what));
		json_object_object_add(entry, "pid", json_object_new_int(id->pid));
		json_object_object_add(entry, "start", json_object_new_uint64(id->start_ticks));
	}
	return append(state_dir, entry, err);
}

int resources_add_redirect(const char *state_dir, const struct network_leftover *l, struct err *err)
{
	struct json_object *entry = json_object_new_object();

	if (entry) {
		json_object_object_add(entry, "kind", json_object_new_string("redirect"));
		json_object_object_add(entry, "netns", json_object_new_string(l->ns_path));
		json_object_object_add(entry, "dev", json_object_new_uint64(l->ns_dev));
		json_object_object_add(entry, "ino", json_object_new_uint64(l->ns_ino));
		json_object_object_add(entry, "link", json_object_new_int(l->link));
		json_object_object_add(entry, "tap", json_object_new_int(l->tap));
	}
	return append(state_dir, entry, err);
}

/* 0 when the entry has no such number. */
static uint64_t entry_number(struct json_object *entry, const char *key)
{
	struct json_object *v = NULL;

	return json_object_object_get_ex(entry, key, &v) ? json_object_get_uint64(v) : 0;
}

static bool is_redirect(struct json_object *entry, const struct network_leftover *l)
{
	return strcmp(json_text(entry, "kind"), "redirect") == 0 &&
	       entry_number(entry, "dev") == l->ns_dev && entry_number(entry, "ino") == l->ns_ino &&
	       entry_number(entry, "link") == (uint64_t)l->link &&
	       entry_number(entry, "tap") == (uint64_t)l->tap;
}

int resources_drop_redirect(const char *state_dir, const struct network_leftover *l,
			    struct err *err)
{
	AUTO_JSON struct json_object *doc = NULL;
	int rc = load(state_dir, &doc, err);
	struct json_object *list = entries_of(doc);

	if (rc)
		return rc == -ENOENT ? 0 : rc;
	for (size_t i = json_object_array_length(list); i > 0; i--)
		if (is_redirect(json_object_array_get_idx(list, i - 1), l))
			(void)json_object_array_del_idx(list, i - 1, 1);
	return store(state_dir, doc, err);
}

static bool entry_process(struct json_object *entry, struct procid *out)
{
	struct json_object *pid = NULL, *start = NULL;

	if (strcmp(json_text(entry, "kind"), "process") != 0 ||
	    !json_object_object_get_ex(entry, "pid", &pid) ||
	    !json_object_object_get_ex(entry, "start", &start))
		return false;
	*out = (struct procid){.pid = json_object_get_int(pid),
			       .start_ticks = json_object_get_uint64(start)};
	return out->pid > 1;
}

int resources_find_process(const char *state_dir, const char *what, struct procid *out)
{
	AUTO_JSON struct json_object *doc = load_any(state_dir);
	struct json_object *list = entries_of(doc);

	for (size_t i = 0; list && i < json_object_array_length(list); i++) {
		struct json_object *entry = json_object_array_get_idx(list, i);

		if (strcmp(json_text(entry, "what"), what) == 0 && entry_process(entry, out))
			return 0;
	}
	return -ENOENT;
}

static void kill_processes(struct json_object *list)
{
	for (size_t i = 0; list && i < json_object_array_length(list); i++) {
		struct json_object *entry = json_object_array_get_idx(list, i);
		struct procid id = {0};

		if (!entry_process(entry, &id))
			continue;
		int rc = procid_kill(&id, KILL_TIMEOUT_MS);
		if (rc)
			log_error("process %d (%s) does not end: %s", (int)id.pid,
				  json_text(entry, "what"), strerror(-rc));
	}
}

static void take_redirects_back(struct json_object *list)
{
	for (size_t i = 0; list && i < json_object_array_length(list); i++) {
		struct json_object *entry = json_object_array_get_idx(list, i);
		struct err err = ERR_INIT;
		const struct network_leftover l = {
			.ns_path = json_text(entry, "netns"),
			.ns_dev = entry_number(entry, "dev"),
			.ns_ino = entry_number(entry, "ino"),
			.link = (int)entry_number(entry, "link"),
			.tap = (int)entry_number(entry, "tap"),
		};

		if (strcmp(json_text(entry, "kind"), "redirect") == 0 &&
		    network_remove_leftover(&l, &err))
			log_error("network namespace '%s': %s", l.ns_path, err.text);
	}
}

static void unlink_files(struct json_object *list)
{
	for (size_t i = list ? json_object_array_length(list) : 0; i > 0; i--) {
		struct json_object *entry = json_object_array_get_idx(list, i - 1);
		const char *path = json_text(entry, "path");

		if (strcmp(json_text(entry, "kind"), "cgroup") == 0)
			sandbox_cgroup_remove(path);
		if (strcmp(json_text(entry, "kind"), "file") == 0 && path[0] == '/' &&
		    unlink(path) && errno != ENOENT)
			log_error("remove '%s': %s", path, strerror(errno));
	}
}

int resources_remove_files(const char *state_dir, struct err *err)
{
	AUTO_JSON struct json_object *doc = load_any(state_dir);

	unlink_files(entries_of(doc));
	int rc = path_remove_tree(AT_FDCWD, state_dir, err);
	AUTO_FREE char *parent = strdup(state_dir);
	char *slash = parent ? strrchr(parent, '/') : NULL;

	if (!slash)
		return rc;
	/* The directory of a containerd namespace goes with its last sandbox. */
	*slash = '\0';
	slash = strrchr(parent, '/');
	if (slash && slash[1] == '@' && rmdir(parent) && errno != ENOTEMPTY && errno != ENOENT)
		log_warn("remove '%s': %s", parent, strerror(errno));
	return rc;
}

int resources_replay(const char *state_dir, struct err *err)
{
	AUTO_JSON struct json_object *doc = load_any(state_dir);

	kill_processes(entries_of(doc));
	take_redirects_back(entries_of(doc));
	return resources_remove_files(state_dir, err);
}

void resources_end(const char *state_dir)
{
	struct err err = ERR_INIT;
	AUTO_FD int dir = -1;
	int rc = state_dir_open(state_dir, &dir, &err);

	if (!rc)
		rc = state_dir_try_lock(state_dir, dir, &err);
	if (!rc)
		rc = resources_remove_files(state_dir, &err);
	if (rc && rc != -EBUSY && rc != -ENOENT)
		log_error("%s", err.text);
}

/* The state directory of one sandbox and its state.json. */
#include "runtime/state_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/path.h"
#include "base/str.h"
#include "config/plan.h"
#include "config/json.h"

#define STATE_FILE      "state.json"
#define MAKE_ATTEMPTS   10
#define STATE_VERSION   1
#define STATE_MAX_BYTES (8u << 20)

int state_dir_path(const char *root, const char *id, char **out, struct err *err)
{
	int rc = container_id_check(id, err);

	if (rc)
		return rc;
	char *path = str_printf("%s/%s", root, id);
	if (!path)
		return err_set(err, ENOMEM, "state directory of '%s'", id);
	*out = path;
	return 0;
}

int state_dir_make(const char *path, struct err *err)
{
	AUTO_FREE char *copy = strdup(path);

	if (!copy)
		return err_set(err, ENOMEM, "make '%s'", path);
	const char *parent = dirname(copy);

	/* Another sandbox's end may take the parent away between the two steps. */
	for (int attempt = 0; attempt < MAKE_ATTEMPTS; attempt++) {
		int rc = path_mkdirs(AT_FDCWD, parent, 0711, err);
		if (rc)
			return rc;
		if (mkdir(path, 0700) == 0)
			return 0;
		if (errno != ENOENT)
			break;
	}
	if (errno == EEXIST)
		return err_say(err, EEXIST, "container with given ID already exists");
	return err_set(err, errno, "make '%s'", path);
}

int state_dir_exists(const char *path, struct err *err)
{
	struct stat st;

	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		return 0;
	return err_say(err, ENOENT, "container does not exist");
}

int state_dir_open(const char *path, int *fd, struct err *err)
{
	int dir = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (dir < 0 && errno == ENOENT)
		return err_say(err, ENOENT, "container does not exist");
	if (dir < 0)
		return err_set(err, errno, "open '%s'", path);
	*fd = dir;
	return 0;
}

bool state_dir_is(const char *path, int fd)
{
	struct stat ours, there;

	return fstat(fd, &ours) == 0 && stat(path, &there) == 0 && ours.st_dev == there.st_dev &&
	       ours.st_ino == there.st_ino;
}

static int lock(const char *path, int fd, int flags, struct err *err)
{
	int rc;

	do
		rc = flock(fd, LOCK_EX | flags);
	while (rc && errno == EINTR);
	if (rc)
		return err_set(err, errno == EWOULDBLOCK ? EBUSY : errno, "lock '%s'", path);
	return state_dir_is(path, fd) ? 0 : err_say(err, ENOENT, "container does not exist");
}

int state_dir_lock(const char *path, int fd, struct err *err)
{
	return lock(path, fd, 0, err);
}

int state_dir_try_lock(const char *path, int fd, struct err *err)
{
	return lock(path, fd, LOCK_NB, err);
}

void container_state_destroy(struct container_state *s)
{
	if (!s)
		return;
	free(s->id);
	free(s->bundle);
	free(s->rootfs);
	free(s->oci_version);
	free(s->created);
	free(s->annotations_json);
	free(s);
}

int container_state_save(const char *state_dir, const struct container_state *s, struct err *err)
{
	AUTO_JSON struct json_object *doc = json_object_new_object();
	AUTO_FREE char *path = str_printf("%s/%s", state_dir, STATE_FILE);

	if (!doc || !path)
		return err_set(err, ENOMEM, "write '%s/%s'", state_dir, STATE_FILE);
	json_object_object_add(doc, "version", json_object_new_int(STATE_VERSION));
	json_object_object_add(doc, "id", json_object_new_string(s->id));
	json_object_object_add(doc, "bundle", json_object_new_string(s->bundle));
	json_object_object_add(doc, "rootfs", json_object_new_string(s->rootfs));
	json_object_object_add(doc, "ociVersion", json_object_new_string(s->oci_version));
	json_object_object_add(doc, "created", json_object_new_string(s->created));
	json_object_object_add(doc, "annotations", json_tokener_parse(s->annotations_json));
	json_object_object_add(doc, "pid", json_object_new_int(s->pid));
	const char *text = json_object_to_json_string_ext(doc, JSON_C_TO_STRING_PLAIN);
	if (!text)
		return err_set(err, ENOMEM, "write '%s'", path);
	return path_write_atomic(AT_FDCWD, path, text, strlen(text), 0600, err);
}

/* A copy of the text under key ("" when absent); NULL when out of memory. */
static char *dup_text(struct json_object *doc, const char *key)
{
	struct json_object *v = NULL;

	return strdup(json_object_object_get_ex(doc, key, &v) && v ? json_object_get_string(v)
								   : "");
}

int container_state_load(const char *state_dir, struct container_state **out, struct err *err)
{
	AUTO_FREE char *path = str_printf("%s/%s", state_dir, STATE_FILE);
	AUTO_FREE char *text = NULL;
	struct json_object *v = NULL;

	if (!path)
		return err_set(err, ENOMEM, "read '%s/%s'", state_dir, STATE_FILE);
	int rc = path_read(AT_FDCWD, path, STATE_MAX_BYTES, &text, NULL, err);
	if (rc)
		return rc;
	AUTO_JSON struct json_object *doc = json_tokener_parse(text);
	if (!json_object_is_type(doc, json_type_object) ||
	    !json_object_object_get_ex(doc, "version", &v) ||
	    json_object_get_int(v) != STATE_VERSION)
		return err_say(err, EINVAL, "'%s' is not a state file of version %d", path,
			       STATE_VERSION);
	CLEANUP(own_container_state_destroy) struct container_state *s = calloc(1, sizeof(*s));
	if (!s)
		return err_set(err, ENOMEM, "read '%s'", path);
	s->id = dup_text(doc, "id");
	s->bundle = dup_text(doc, "bundle");
	s->rootfs = dup_text(doc, "rootfs");
	s->oci_version = dup_text(doc, "ociVersion");
	s->created = dup_text(doc, "created");
	s->annotations_json = dup_text(doc, "annotations");
	if (!s->id || !s->bundle || !s->rootfs || !s->oci_version || !s->created ||
	    !s->annotations_json)
		return err_set(err, ENOMEM, "read '%s'", path);
	if (json_object_object_get_ex(doc, "pid", &v))
		s->pid = json_object_get_int(v);
	*out = TAKE_PTR(&s);
	return 0;
}

/* See oci_state.h. A memory file instead of a pipe: a state may be larger than a pipe, and a hook need not read it. */
#include "config/oci_state.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/own.h"
#include "config/json.h"

/* Takes the value; false when out of memory. */
static bool add(struct json_object *o, const char *key, struct json_object *v)
{
	if (v && json_object_object_add(o, key, v) == 0)
		return true;
	(void)json_object_put(v);
	return false;
}

static bool add_annotations(struct json_object *o, const struct oci_spec *spec)
{
	struct json_object *map = json_object_new_object();

	for (size_t i = 0; map && i < spec->annotation_keys.n; i++) {
		if (!add(map, spec->annotation_keys.v[i],
			 json_object_new_string(spec->annotation_values.v[i]))) {
			(void)json_object_put(map);
			return false;
		}
	}
	return add(o, "annotations", map);
}

static int state_json(const struct oci_spec *spec, const char *id, const char *bundle,
		      const char *status, pid_t pid, char **out, struct err *err)
{
	AUTO_JSON struct json_object *o = json_object_new_object();
	bool whole = o && add(o, "ociVersion", json_object_new_string(spec->oci_version)) &&
		     add(o, "id", json_object_new_string(id)) &&
		     add(o, "status", json_object_new_string(status)) &&
		     (pid == 0 || add(o, "pid", json_object_new_int(pid))) &&
		     add(o, "bundle", json_object_new_string(bundle)) && add_annotations(o, spec);
	const int flags = JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE;
	const char *text = whole ? json_object_to_json_string_ext(o, flags) : NULL;
	char *copy = text ? strdup(text) : NULL;

	if (!copy)
		return err_set(err, ENOMEM, "write the state of '%s'", id);
	*out = copy;
	return 0;
}

int oci_state_open(const struct oci_spec *spec, const char *id, const char *bundle,
		   const char *status, pid_t pid, int *fd, struct err *err)
{
	AUTO_FREE char *text = NULL;
	int ret = state_json(spec, id, bundle, status, pid, &text, err);

	if (ret < 0)
		return ret;
	*fd = fd_of_bytes("state.json", text, strlen(text));
	return *fd < 0 ? err_set(err, -*fd, "write the state of '%s'", id) : 0;
}

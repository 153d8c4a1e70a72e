/*
 * What of a container happens on the host (its root file system and bind sources go into the shared tree) and what the guest
 * is told: the spec's own text, with host-only parts taken out and bind sources renamed to where the guest finds them.
 */
#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "base/str.h"
#include "config/json.h"
#include "config/oci_state.h"
#include "config/plan.h"

#define CONTAINER_ID_MAX 255

int container_id_check(const char *id, struct err *err)
{
	size_t n = strlen(id);

	if (n == 0)
		return err_say(err, EINVAL, "container id must not be empty");
	if (n > CONTAINER_ID_MAX)
		return err_say(err, EINVAL, "container id is longer than %d bytes",
			       CONTAINER_ID_MAX);
	for (const char *p = id; *p; p++)
		if (!isalnum((unsigned char)*p) && !strchr("_+.-", *p))
			return err_say(err, EINVAL,
				       "container id '%s' may hold only letters, digits, '_', "
				       "'+', '-' and '.'",
				       id);
	if (strcmp(id, ".") == 0 || strcmp(id, "..") == 0)
		return err_say(err, EINVAL, "container id must not be '%s'", id);
	return 0;
}

static bool has_option(const struct oci_mount *m, const char *word)
{
	for (size_t i = 0; i < m->options.n; i++)
		if (strcmp(m->options.v[i], word) == 0)
			return true;
	return false;
}

static bool is_bind(const struct oci_mount *m)
{
	return strcmp(m->type, "bind") == 0 || has_option(m, "bind") || has_option(m, "rbind");
}

/* An absolute path as it is, else below the bundle. */
static char *below_bundle(const char *bundle, const char *path)
{
	return path[0] == '/' ? strdup(path) : str_printf("%s/%s", bundle, path);
}

static int plan_bind(struct container_plan *plan, const char *bundle, const struct oci_mount *m,
		     size_t i, struct json_object *mount_json, struct err *err)
{
	struct shared_bind *bind = &plan->binds[plan->nbinds++];
	struct json_object *source;

	if (m->source[0] == '\0')
		return err_say(err, EINVAL, "mounts[%zu] ('%s') is a bind mount without a source",
			       i, m->destination);
	bind->host_path = below_bundle(bundle, m->source);
	bind->shared_name = str_printf("%s/mounts/%zu", plan->id, i);
	bind->recursive = has_option(m, "rbind");
	bind->readonly = has_option(m, "ro");
	if (!bind->host_path || !bind->shared_name)
		return err_set(err, ENOMEM, "plan a mount");
	source = json_object_new_string(bind->shared_name);
	if (!source || json_object_object_add(mount_json, "source", source) < 0)
		return err_set(err, ENOMEM, "plan a mount");
	return 0;
}

static int plan_mounts(struct container_plan *plan, const char *bundle, const struct oci_spec *spec,
		       struct json_object *root, struct err *err)
{
	struct json_object *mounts = NULL;

	if (spec->nmounts == 0)
		return 0;
	plan->binds = calloc(spec->nmounts, sizeof(*plan->binds));
	if (!plan->binds)
		return err_set(err, ENOMEM, "plan the mounts");
	(void)json_object_object_get_ex(root, "mounts", &mounts);
	for (size_t i = 0; i < spec->nmounts; i++) {
		int ret = 0;

		if (is_bind(&spec->mounts[i]))
			ret = plan_bind(plan, bundle, &spec->mounts[i], i,
					json_object_array_get_idx(mounts, i), err);
		if (ret < 0)
			return ret;
	}
	return 0;
}

/* startContainer hooks run in the guest and are told of the bundle by the name it has on the host; the others run here. */
static int keep_guest_hooks(struct json_object *root, const char *bundle, struct err *err)
{
	AUTO_JSON struct json_object *mine = NULL;
	AUTO_JSON struct json_object *kept = json_object_new_object();
	struct json_object *hooks = NULL, *annotations = NULL;
	const char *name = oci_hook_name(OCI_HOOK_START_CONTAINER);

	if (json_object_object_get_ex(root, "hooks", &hooks) &&
	    json_object_object_get_ex(hooks, name, &mine))
		(void)json_object_get(mine);
	json_object_object_del(root, "hooks");
	if (!mine)
		return 0;
	if (!json_object_object_get_ex(root, "annotations", &annotations) || !annotations) {
		annotations = json_object_new_object();
		if (json_object_object_add(root, "annotations", annotations) < 0)
			return err_set(err, ENOMEM, "plan the hooks");
	}
	if (!kept || !annotations ||
	    json_object_object_add(kept, name, json_object_get(mine)) < 0 ||
	    json_object_object_add(root, "hooks", json_object_get(kept)) < 0 ||
	    json_object_object_add(annotations, OCI_ANNOTATION_BUNDLE,
				   json_object_new_string(bundle)) < 0)
		return err_set(err, ENOMEM, "plan the hooks");
	return 0;
}

/* cgroupsPath and namespace paths name host objects: they mean nothing in the guest. */
static void strip_host_parts(struct json_object *root)
{
	struct json_object *linux_json = NULL, *namespaces = NULL, *ns;

	if (!json_object_object_get_ex(root, "linux", &linux_json))
		return;
	json_object_object_del(linux_json, "cgroupsPath");
	if (!json_object_object_get_ex(linux_json, "namespaces", &namespaces))
		return;
	for (size_t i = 0; i < json_object_array_length(namespaces); i++) {
		struct json_object *type = NULL;

		ns = json_object_array_get_idx(namespaces, i);
		if (json_object_object_get_ex(ns, "type", &type) &&
		    strcmp(json_object_get_string(type), "network") == 0)
			json_object_object_del(ns, "path");
	}
}

int container_plan_make(const char *id, const char *bundle, const char *spec_text, size_t spec_len,
			const struct oci_spec *spec, struct container_plan **out, struct err *err)
{
	CLEANUP(own_container_plan_destroy) struct container_plan *plan = calloc(1, sizeof(*plan));
	AUTO_JSON struct json_object *root = NULL;
	int ret;

	if (!plan)
		return err_set(err, ENOMEM, "plan container '%s'", id);
	ret = container_id_check(id, err);
	if (ret == 0)
		ret = json_parse(spec_text, spec_len, "config.json", false, &root, err);
	if (ret < 0)
		return ret;
	plan->id = strdup(id);
	plan->rootfs_host = below_bundle(bundle, spec->root_path);
	plan->rootfs_name = str_printf("%s/rootfs", id);
	plan->rootfs_readonly = spec->root_readonly;
	plan->terminal = spec->process.terminal;
	if (!plan->id || !plan->rootfs_host || !plan->rootfs_name)
		return err_set(err, ENOMEM, "plan container '%s'", id);

	ret = plan_mounts(plan, bundle, spec, root, err);
	if (ret == 0)
		ret = keep_guest_hooks(root, bundle, err);
	if (ret < 0)
		return ret;
	strip_host_parts(root);
	plan->guest_spec_json =
		strdup(json_object_to_json_string_ext(root, JSON_C_TO_STRING_PLAIN));
	if (!plan->guest_spec_json)
		return err_set(err, ENOMEM, "plan container '%s'", id);
	*out = TAKE_PTR(&plan);
	return 0;
}

void container_plan_destroy(struct container_plan *plan)
{
	if (!plan)
		return;
	for (size_t i = 0; i < plan->nbinds; i++) {
		free(plan->binds[i].host_path);
		free(plan->binds[i].shared_name);
	}
	free(plan->binds);
	free(plan->id);
	free(plan->rootfs_host);
	free(plan->rootfs_name);
	free(plan->guest_spec_json);
	free(plan);
}

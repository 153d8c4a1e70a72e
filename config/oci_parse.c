/*
 * config.json (runtime-spec 1.2, config.md) from bytes to struct oci_spec. Only types and ranges are looked at here; whether
 * the result can be run is oci_check's question. Keys that the specification does not know are ignored, as it demands.
 */
#include "config/oci_internal.h"

#include <string.h>

static const char *const hook_keys[OCI_HOOK_KINDS] = {
	[OCI_HOOK_PRESTART] = "prestart",
	[OCI_HOOK_CREATE_RUNTIME] = "createRuntime",
	[OCI_HOOK_CREATE_CONTAINER] = "createContainer",
	[OCI_HOOK_START_CONTAINER] = "startContainer",
	[OCI_HOOK_POSTSTART] = "poststart",
	[OCI_HOOK_POSTSTOP] = "poststop",
};

int oci_list_alloc(size_t n, size_t size, void *out, struct err *err)
{
	void *list = n ? calloc(n, size) : NULL;

	if (n && !list)
		return err_set(err, ENOMEM, "parse a list of %zu", n);
	memcpy(out, &list, sizeof(list));
	return 0;
}

int oci_fill_string(char **s, struct err *err)
{
	if (!*s)
		*s = strdup("");
	return *s ? 0 : err_set(err, ENOMEM, "copy a string");
}

static int read_mount(const struct json_at *at, struct oci_mount *m, struct err *err)
{
	struct json_at destination = json_key(at, "destination"), type = json_key(at, "type");
	struct json_at source = json_key(at, "source"), options = json_key(at, "options");
	int ret = json_get_string(&destination, &m->destination, err);

	if (ret == 0 && (!m->destination || !m->destination[0]))
		ret = json_err(&destination, err, "is missing");
	if (ret == 0)
		ret = json_get_string(&type, &m->type, err);
	if (ret == 0)
		ret = json_get_string(&source, &m->source, err);
	if (ret == 0)
		ret = json_get_strings(&options, &m->options, err);
	if (ret == 0)
		ret = oci_fill_string(&m->type, err);
	if (ret == 0)
		ret = oci_fill_string(&m->source, err);
	return ret;
}

static int read_mounts(const struct json_at *at, struct oci_spec *spec, struct err *err)
{
	size_t n;
	int ret = json_want_array(at, &n, err);

	if (ret == 0)
		ret = oci_list_alloc(n, sizeof(*spec->mounts), &spec->mounts, err);
	for (size_t i = 0; ret == 0 && i < n; i++) {
		struct json_at item = json_index(at, i);

		spec->nmounts = i + 1;
		ret = read_mount(&item, &spec->mounts[i], err);
	}
	return ret;
}

const char *oci_hook_name(enum oci_hook_kind kind)
{
	return hook_keys[kind];
}

static int read_hook(const struct json_at *at, struct oci_hook *hook, struct err *err)
{
	struct json_at path = json_key(at, "path"), args = json_key(at, "args");
	struct json_at env = json_key(at, "env"), timeout = json_key(at, "timeout");
	int ret = json_get_string(&path, &hook->path, err);

	if (ret == 0 && (!hook->path || hook->path[0] != '/'))
		ret = json_err(&path, err, "must be an absolute path");
	if (ret == 0)
		ret = json_get_strings(&args, &hook->args, err);
	if (ret == 0)
		ret = json_get_strings(&env, &hook->env, err);
	if (ret == 0)
		ret = json_get_i64(&timeout, &hook->timeout_s, err);
	if (ret == 0 && timeout.v && hook->timeout_s <= 0)
		ret = json_err(&timeout, err, "must be more than 0 seconds");
	return ret;
}

static int read_hooks(const struct json_at *at, struct oci_spec *spec, struct err *err)
{
	bool present;
	int ret = json_want_object(at, &present, err);

	for (int kind = 0; ret == 0 && kind < OCI_HOOK_KINDS; kind++) {
		struct json_at list = json_key(at, hook_keys[kind]);
		size_t n;

		ret = json_want_array(&list, &n, err);
		if (ret == 0)
			ret = oci_list_alloc(n, sizeof(**spec->hooks), &spec->hooks[kind], err);
		for (size_t i = 0; ret == 0 && i < n; i++) {
			struct json_at item = json_index(&list, i);

			spec->nhooks[kind] = i + 1;
			ret = read_hook(&item, &spec->hooks[kind][i], err);
		}
	}
	return ret;
}

static int read_root(const struct json_at *at, struct oci_spec *spec, struct err *err)
{
	struct json_at path = json_key(at, "path"), readonly = json_key(at, "readonly");
	bool present;
	int ret = json_want_object(at, &present, err);

	if (ret == 0)
		ret = json_get_string(&path, &spec->root_path, err);
	if (ret == 0 && present && (!spec->root_path || !spec->root_path[0]))
		ret = json_err(&path, err, "is missing");
	if (ret == 0)
		ret = json_get_bool(&readonly, &spec->root_readonly, err);
	return ret;
}

static int read_process(const struct json_at *at, struct oci_spec *spec, struct err *err)
{
	int ret = json_want_object(at, &spec->has_process, err);

	if (ret == 0 && spec->has_process)
		ret = oci_process_read(at, &spec->process, err);
	return ret;
}

static int read_top(const struct json_at *root, struct oci_spec *spec, struct err *err)
{
	struct json_at version = json_key(root, "ociVersion"), host = json_key(root, "hostname");
	struct json_at domain = json_key(root, "domainname"), fs = json_key(root, "root");
	struct json_at process = json_key(root, "process"), mounts = json_key(root, "mounts");
	struct json_at hooks = json_key(root, "hooks"), linux_at = json_key(root, "linux");
	struct json_at annotations = json_key(root, "annotations");
	char **strings[] = {&spec->oci_version, &spec->hostname,     &spec->domainname,
			    &spec->root_path,   &spec->cgroups_path, &spec->rootfs_propagation};
	int ret = json_get_string(&version, &spec->oci_version, err);

	if (ret == 0)
		ret = json_get_string(&host, &spec->hostname, err);
	if (ret == 0)
		ret = json_get_string(&domain, &spec->domainname, err);
	if (ret == 0)
		ret = read_root(&fs, spec, err);
	if (ret == 0)
		ret = read_process(&process, spec, err);
	if (ret == 0)
		ret = read_mounts(&mounts, spec, err);
	if (ret == 0)
		ret = read_hooks(&hooks, spec, err);
	if (ret == 0)
		ret = json_get_string_map(&annotations, &spec->annotation_keys,
					  &spec->annotation_values, err);
	if (ret == 0)
		ret = oci_linux_read(&linux_at, spec, err);
	for (size_t i = 0; ret == 0 && i < ARRAY_SIZE(strings); i++)
		ret = oci_fill_string(strings[i], err);
	return ret;
}

int oci_object_parse(const char *text, size_t len, const char *what, struct json_object **out,
		     struct err *err)
{
	AUTO_JSON struct json_object *v = NULL;
	struct json_at root;
	bool present;
	int ret;

	if (len > OCI_MAX_SPEC_BYTES)
		return err_say(err, EFBIG, "'%s' is larger than %u bytes", what,
			       OCI_MAX_SPEC_BYTES);
	ret = json_parse(text, len, what, false, &v, err);
	if (ret < 0)
		return ret;
	root = json_root(v);
	ret = json_want_object(&root, &present, err);
	if (ret == 0 && !present)
		ret = json_err(&root, err, "expected an object");
	if (ret < 0)
		return err_wrap(err, "'%s'", what);
	*out = TAKE_PTR(&v);
	return 0;
}

int oci_parse(const char *text, size_t len, const char *what, struct oci_spec **out,
	      struct err *err)
{
	CLEANUP(own_oci_spec_destroy) struct oci_spec *spec = calloc(1, sizeof(*spec));
	AUTO_JSON struct json_object *v = NULL;
	struct json_at root;
	int ret;

	if (!spec)
		return err_set(err, ENOMEM, "parse '%s'", what);
	ret = oci_object_parse(text, len, what, &v, err);
	if (ret < 0)
		return ret;
	root = json_root(v);
	ret = read_top(&root, spec, err);
	if (ret < 0)
		return err_wrap(err, "'%s'", what);
	*out = TAKE_PTR(&spec);
	return 0;
}

void oci_spec_destroy(struct oci_spec *spec)
{
	if (!spec)
		return;
	free(spec->oci_version);
	free(spec->hostname);
	free(spec->domainname);
	free(spec->root_path);
	oci_process_done(&spec->process);
	for (size_t i = 0; i < spec->nmounts; i++) {
		free(spec->mounts[i].destination);
		free(spec->mounts[i].type);
		free(spec->mounts[i].source);
		strings_done(&spec->mounts[i].options);
	}
	free(spec->mounts);
	for (int kind = 0; kind < OCI_HOOK_KINDS; kind++) {
		for (size_t i = 0; i < spec->nhooks[kind]; i++) {
			free(spec->hooks[kind][i].path);
			strings_done(&spec->hooks[kind][i].args);
			strings_done(&spec->hooks[kind][i].env);
		}
		free(spec->hooks[kind]);
	}
	strings_done(&spec->annotation_keys);
	strings_done(&spec->annotation_values);
	oci_linux_done(spec);
	free(spec);
}

const char *oci_annotation(const struct oci_spec *spec, const char *key)
{
	for (size_t i = 0; i < spec->annotation_keys.n; i++)
		if (strcmp(spec->annotation_keys.v[i], key) == 0)
			return spec->annotation_values.v[i];
	return NULL;
}

const struct oci_namespace *oci_namespace(const struct oci_spec *spec, enum oci_namespace_type type)
{
	for (size_t i = 0; i < spec->nnamespaces; i++)
		if (spec->namespaces[i].type == type)
			return &spec->namespaces[i];
	return NULL;
}

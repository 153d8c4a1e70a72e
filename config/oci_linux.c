/* The "linux" object (runtime-spec 1.2, config-linux.md). */
#include "config/oci_internal.h"

#include <string.h>

static const struct json_word namespace_words[] = {
	{"pid", OCI_NS_PID},       {"network", OCI_NS_NETWORK}, {"mount", OCI_NS_MOUNT},
	{"ipc", OCI_NS_IPC},       {"uts", OCI_NS_UTS},         {"user", OCI_NS_USER},
	{"cgroup", OCI_NS_CGROUP}, {"time", OCI_NS_TIME},       {NULL, 0},
};

static int read_namespace(const struct json_at *at, struct oci_namespace *ns, struct err *err)
{
	struct json_at type = json_key(at, "type"), path = json_key(at, "path");
	AUTO_FREE char *word = NULL;
	int64_t value;
	int ret = json_get_string(&type, &word, err);

	if (ret < 0)
		return ret;
	if (!word || json_word_find(namespace_words, word, &value) < 0)
		return json_err(&type, err, "'%s' is not a namespace type", word ? word : "");
	ns->type = (enum oci_namespace_type)value;
	ret = json_get_string(&path, &ns->path, err);
	if (ret == 0)
		ret = oci_fill_string(&ns->path, err);
	return ret;
}

static int read_namespaces(const struct json_at *at, struct oci_spec *spec, struct err *err)
{
	uint32_t seen = 0;
	size_t n;
	int ret = json_want_array(at, &n, err);

	if (ret == 0)
		ret = oci_list_alloc(n, sizeof(*spec->namespaces), &spec->namespaces, err);
	for (size_t i = 0; ret == 0 && i < n; i++) {
		struct json_at item = json_index(at, i);

		spec->nnamespaces = i + 1;
		ret = read_namespace(&item, &spec->namespaces[i], err);
		if (ret == 0 && (seen & (1u << spec->namespaces[i].type)))
			ret = json_err(&item, err, "names a namespace type a second time");
		seen |= 1u << spec->namespaces[i].type;
	}
	return ret;
}

static int read_mappings(const struct json_at *at, struct oci_id_mapping **list, size_t *count,
			 struct err *err)
{
	size_t n;
	int ret = json_want_array(at, &n, err);

	if (ret == 0)
		ret = oci_list_alloc(n, sizeof(**list), list, err);
	for (size_t i = 0; ret == 0 && i < n; i++) {
		struct json_at item = json_index(at, i);
		struct json_at inside = json_key(&item, "containerID");
		struct json_at outside = json_key(&item, "hostID"), size = json_key(&item, "size");

		*count = i + 1;
		ret = json_get_u32(&inside, &(*list)[i].container_id, err);
		if (ret == 0)
			ret = json_get_u32(&outside, &(*list)[i].host_id, err);
		if (ret == 0)
			ret = json_get_u32(&size, &(*list)[i].size, err);
	}
	return ret;
}

static int read_device(const struct json_at *at, struct oci_device *dev, struct err *err)
{
	struct json_at path = json_key(at, "path"), type = json_key(at, "type");
	struct json_at major = json_key(at, "major"), minor = json_key(at, "minor");
	struct json_at mode = json_key(at, "fileMode");
	struct json_at uid = json_key(at, "uid"), gid = json_key(at, "gid");
	AUTO_FREE char *word = NULL;
	int ret = json_get_string(&path, &dev->path, err);

	dev->mode = 0666;
	if (ret == 0)
		ret = json_get_string(&type, &word, err);
	if (ret == 0)
		ret = json_get_i64(&major, &dev->major, err);
	if (ret == 0)
		ret = json_get_i64(&minor, &dev->minor, err);
	if (ret == 0)
		ret = json_get_u32(&mode, &dev->mode, err);
	if (ret == 0)
		ret = json_get_u32(&uid, &dev->uid, err);
	if (ret == 0)
		ret = json_get_u32(&gid, &dev->gid, err);
	if (ret < 0)
		return ret;
	if (!dev->path || dev->path[0] != '/')
		return json_err(&path, err, "must be an absolute path");
	if (!word || strlen(word) != 1 || !strchr("cbup", word[0]))
		return json_err(&type, err, "expected \"c\", \"b\", \"u\" or \"p\"");
	dev->type = word[0];
	dev->mode &= 07777; /* engines send the file type too */
	return 0;
}

static int read_devices(const struct json_at *at, struct oci_spec *spec, struct err *err)
{
	size_t n;
	int ret = json_want_array(at, &n, err);

	if (ret == 0)
		ret = oci_list_alloc(n, sizeof(*spec->devices), &spec->devices, err);
	for (size_t i = 0; ret == 0 && i < n; i++) {
		struct json_at item = json_index(at, i);

		spec->ndevices = i + 1;
		ret = read_device(&item, &spec->devices[i], err);
	}
	return ret;
}

int oci_linux_read(const struct json_at *at, struct oci_spec *spec, struct err *err)
{
	struct json_at namespaces = json_key(at, "namespaces"), devices = json_key(at, "devices");
	struct json_at uids = json_key(at, "uidMappings"), gids = json_key(at, "gidMappings");
	struct json_at cgroup = json_key(at, "cgroupsPath"), masked = json_key(at, "maskedPaths");
	struct json_at readonly = json_key(at, "readonlyPaths"), sysctl = json_key(at, "sysctl");
	struct json_at resources = json_key(at, "resources"), seccomp = json_key(at, "seccomp");
	struct json_at propagation = json_key(at, "rootfsPropagation");
	bool present;
	int ret = json_want_object(at, &present, err);

	if (ret == 0)
		ret = read_namespaces(&namespaces, spec, err);
	if (ret == 0)
		ret = read_mappings(&uids, &spec->uid_mappings, &spec->nuid_mappings, err);
	if (ret == 0)
		ret = read_mappings(&gids, &spec->gid_mappings, &spec->ngid_mappings, err);
	if (ret == 0)
		ret = read_devices(&devices, spec, err);
	if (ret == 0)
		ret = json_get_string(&cgroup, &spec->cgroups_path, err);
	if (ret == 0)
		ret = json_get_string(&propagation, &spec->rootfs_propagation, err);
	if (ret == 0)
		ret = json_get_strings(&masked, &spec->masked_paths, err);
	if (ret == 0)
		ret = json_get_strings(&readonly, &spec->readonly_paths, err);
	if (ret == 0)
		ret = json_get_string_map(&sysctl, &spec->sysctl_keys, &spec->sysctl_values, err);
	if (ret == 0)
		ret = oci_resources_read(&resources, &spec->resources, err);
	if (ret == 0)
		ret = oci_seccomp_read(&seccomp, &spec->seccomp, err);
	return ret;
}

void oci_linux_done(struct oci_spec *spec)
{
	for (size_t i = 0; i < spec->nnamespaces; i++)
		free(spec->namespaces[i].path);
	free(spec->namespaces);
	free(spec->uid_mappings);
	free(spec->gid_mappings);
	for (size_t i = 0; i < spec->ndevices; i++)
		free(spec->devices[i].path);
	free(spec->devices);
	free(spec->cgroups_path);
	free(spec->rootfs_propagation);
	strings_done(&spec->masked_paths);
	strings_done(&spec->readonly_paths);
	strings_done(&spec->sysctl_keys);
	strings_done(&spec->sysctl_values);
	oci_resources_done(&spec->resources);
	oci_seccomp_done(&spec->seccomp);
}

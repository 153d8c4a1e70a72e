/*
 * /etc/nacre/config.json and config.d/ *.json (docs/man/nacre.json.5). One table of keys feeds the reader; a key that is not
 * in it is refused, so that a misspelled setting does not silently do nothing.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>

#include "base/log.h"
#include "base/path.h"
#include "base/str.h"
#include "config/json.h"
#include "config/plan.h"

#define CONFIG_MAX_BYTES (1u << 20)

#if defined(__x86_64__)
#define GUEST_ARCH "x86_64"
#elif defined(__aarch64__)
#define GUEST_ARCH "aarch64"
#elif defined(__riscv)
#define GUEST_ARCH "riscv64"
#endif

enum key_kind { KEY_STRING, KEY_BOOL, KEY_U32, KEY_U64, KEY_LOG_LEVEL };

struct key {
	const char *name;
	enum key_kind kind;
	size_t at; /* offset in struct nacre_config */
	uint64_t min, max;
};

#define FIELD(f) offsetof(struct nacre_config, f)

static const struct key keys[] = {
	{"vmm", KEY_STRING, FIELD(vmm_path), 0, 0},
	{"kernel", KEY_STRING, FIELD(kernel_path), 0, 0},
	{"initramfs", KEY_STRING, FIELD(initramfs_path), 0, 0},
	{"kernel_params", KEY_STRING, FIELD(kernel_params), 0, 0},
	{"default_vcpus", KEY_U32, FIELD(default_vcpus), 1, VM_MAX_VCPUS},
	{"max_vcpus", KEY_U32, FIELD(max_vcpus), 1, VM_MAX_VCPUS},
	{"boot_vcpus", KEY_U32, FIELD(boot_vcpus), 0, VM_MAX_VCPUS},
	{"hotplug_vcpus", KEY_U32, FIELD(hotplug_vcpus), 0, VM_MAX_VCPUS - 1},
	{"default_memory_mib", KEY_U64, FIELD(default_memory_mib), VM_MIN_MEMORY_MIB, 1u << 24},
	{"guest_overhead_mib", KEY_U64, FIELD(guest_overhead_mib), 32, 1u << 20},
	{"boot_timeout_ms", KEY_U64, FIELD(boot_timeout_ms), 100, 3600000},
	{"spare_nics", KEY_U32, FIELD(spare_nics), 0, VM_MAX_SPARE_NICS},
	{"spare_disks", KEY_U32, FIELD(spare_disks), 0, VM_MAX_SPARE_DISKS},
	{"qmp", KEY_BOOL, FIELD(qmp), 0, 0},
	{"log_level", KEY_LOG_LEVEL, FIELD(log_level), 0, 0},
};

static const struct json_word log_levels[] = {
	{"error", LOG_LEVEL_ERROR},
	{"warning", LOG_LEVEL_WARN},
	{"info", LOG_LEVEL_INFO},
	{"debug", LOG_LEVEL_DEBUG},
	{NULL, 0},
};

static int config_default(struct nacre_config **out, struct err *err)
{
	CLEANUP(own_nacre_config_destroy) struct nacre_config *c = calloc(1, sizeof(*c));

	if (!c)
		return err_set(err, ENOMEM, "load the configuration");
	c->vmm_path = strdup(NACRE_PREFIX "/libexec/nacre/vmm");
	c->kernel_path = strdup(NACRE_PREFIX "/share/nacre/kernel-" GUEST_ARCH);
	c->initramfs_path = strdup(NACRE_PREFIX "/share/nacre/initramfs-" GUEST_ARCH);
	c->kernel_params = strdup("");
	if (!c->vmm_path || !c->kernel_path || !c->initramfs_path || !c->kernel_params)
		return err_set(err, ENOMEM, "load the configuration");
	c->default_vcpus = 1;
	c->max_vcpus = VM_MAX_VCPUS;
	c->default_memory_mib = 512;
	c->guest_overhead_mib = 64;
	c->boot_timeout_ms = 60000;
	c->spare_nics = 1;
	c->log_level = LOG_LEVEL_INFO;
	*out = TAKE_PTR(&c);
	return 0;
}

static int read_number(const struct json_at *at, const struct key *key, uint64_t *value,
		       struct err *err)
{
	int ret = json_get_u64(at, UINT64_MAX, value, err);

	if (ret == 0 && (*value < key->min || *value > key->max))
		ret = json_err(at, err, "%llu is outside %llu to %llu", (unsigned long long)*value,
			       (unsigned long long)key->min, (unsigned long long)key->max);
	return ret;
}

static int read_level(const struct json_at *at, int *level, struct err *err)
{
	AUTO_FREE char *word = NULL;
	int64_t value;
	int ret = json_get_string(at, &word, err);

	if (ret < 0)
		return ret;
	if (!word || json_word_find(log_levels, word, &value) < 0)
		return json_err(at, err, "expected error, warning, info or debug");
	*level = (int)value;
	return 0;
}

static int read_key(const struct json_at *at, const struct key *key, struct nacre_config *c,
		    struct err *err)
{
	void *field = (char *)c + key->at;
	uint64_t value = 0;
	int ret;

	if (!at->v)
		return json_err(at, err, "must not be null");
	switch (key->kind) {
	case KEY_STRING:
		return json_get_string(at, field, err);
	case KEY_BOOL:
		return json_get_bool(at, field, err);
	case KEY_U32:
		ret = read_number(at, key, &value, err);
		if (ret == 0)
			*(uint32_t *)field = (uint32_t)value;
		return ret;
	case KEY_U64:
		ret = read_number(at, key, &value, err);
		if (ret == 0)
			*(uint64_t *)field = value;
		return ret;
	case KEY_LOG_LEVEL:
		return read_level(at, field, err);
	}
	return 0;
}

static int apply(struct json_object *v, struct nacre_config *c, struct err *err)
{
	struct json_at root = json_root(v);
	bool present;
	int ret = json_want_object(&root, &present, err);

	if (ret < 0 || !present)
		return ret;
	json_object_object_foreach(v, name, value)
	{
		struct json_at at = {.v = value, .parent = &root, .key = name};
		const struct key *key = NULL;

		for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
			if (strcmp(keys[i].name, name) == 0)
				key = &keys[i];
		if (!key)
			return json_err(&at, err, "is not a setting of Nacre (see nacre.json(5))");
		ret = read_key(&at, key, c, err);
		if (ret < 0)
			return ret;
	}
	return 0;
}

static int apply_file(int dirfd, const char *dir, const char *name, struct nacre_config *c,
		      struct err *err)
{
	AUTO_FREE char *what = str_printf("%s/%s", dir, name);
	AUTO_FREE char *text = NULL;
	AUTO_JSON struct json_object *v = NULL;
	size_t len;
	int ret;

	if (!what)
		return err_set(err, ENOMEM, "load the configuration");
	ret = path_read(dirfd, name, CONFIG_MAX_BYTES, &text, &len, err);
	if (ret < 0)
		return ret;
	ret = json_parse(text, len, what, true, &v, err);
	if (ret < 0)
		return ret;
	ret = apply(v, c, err);
	return ret < 0 ? err_wrap(err, "'%s'", what) : 0;
}

static int is_json_file(const struct dirent *entry)
{
	return entry->d_name[0] != '.' && str_ends(entry->d_name, ".json");
}

static int apply_dropins(int dirfd, const char *dir, struct nacre_config *c, struct err *err)
{
	AUTO_FREE char *dropin_dir = str_printf("%s/config.d", dir);
	AUTO_FD int fd = openat(dirfd, "config.d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct dirent **names = NULL;
	int n, ret = 0;

	if (fd < 0)
		return errno == ENOENT ? 0 : err_set(err, errno, "open '%s/config.d'", dir);
	if (!dropin_dir)
		return err_set(err, ENOMEM, "load the configuration");
	n = scandirat(fd, ".", &names, is_json_file, alphasort);
	if (n < 0)
		return err_set(err, errno, "list '%s'", dropin_dir);
	for (int i = 0; i < n; i++) {
		if (ret == 0)
			ret = apply_file(fd, dropin_dir, names[i]->d_name, c, err);
		free(names[i]);
	}
	free(names);
	return ret;
}

int nacre_config_load(const char *dir, struct nacre_config **out, struct err *err)
{
	CLEANUP(own_nacre_config_destroy) struct nacre_config *c = NULL;
	AUTO_FD int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int ret = config_default(&c, err);

	if (ret < 0)
		return ret;
	if (fd < 0 && errno != ENOENT)
		return err_set(err, errno, "open '%s'", dir);
	if (fd >= 0 && faccessat(fd, "config.json", F_OK, 0) == 0)
		ret = apply_file(fd, dir, "config.json", c, err);
	if (fd >= 0 && ret == 0)
		ret = apply_dropins(fd, dir, c, err);
	if (ret < 0)
		return ret;
	*out = TAKE_PTR(&c);
	return 0;
}

void nacre_config_destroy(struct nacre_config *c)
{
	if (!c)
		return;
	free(c->vmm_path);
	free(c->kernel_path);
	free(c->initramfs_path);
	free(c->kernel_params);
	free(c);
}

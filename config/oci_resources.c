/* linux.resources (runtime-spec 1.2, config-linux.md, "Control groups"). */
#include "config/oci_internal.h"

#include <string.h>

/* Whatever is negative takes a limit away; nothing at all leaves it to others. */
static int read_limit(const struct json_at *at, int64_t *out, struct err *err)
{
	int ret = json_get_i64(at, out, err);

	if (ret == 0 && at->v && *out < 0)
		*out = OCI_UNLIMITED;
	return ret;
}

static int read_memory(const struct json_at *at, struct oci_resources *r, struct err *err)
{
	struct json_at limit = json_key(at, "limit"), reservation = json_key(at, "reservation");
	struct json_at swap = json_key(at, "swap");
	bool present;
	int ret = json_want_object(at, &present, err);

	if (ret == 0)
		ret = read_limit(&limit, &r->memory_limit_bytes, err);
	if (ret == 0)
		ret = read_limit(&reservation, &r->memory_reservation_bytes, err);
	if (ret == 0)
		ret = read_limit(&swap, &r->memory_swap_bytes, err);
	return ret;
}

static int read_cpu(const struct json_at *at, struct oci_resources *r, struct err *err)
{
	struct json_at shares = json_key(at, "shares"), quota = json_key(at, "quota");
	struct json_at period = json_key(at, "period"), cpus = json_key(at, "cpus");
	struct json_at mems = json_key(at, "mems");
	bool present;
	int ret = json_want_object(at, &present, err);

	if (ret == 0)
		ret = json_get_u64(&shares, UINT64_MAX, &r->cpu_shares, err);
	if (ret == 0)
		ret = read_limit(&quota, &r->cpu_quota_us, err);
	if (ret == 0)
		ret = json_get_u64(&period, UINT64_MAX, &r->cpu_period_us, err);
	if (ret == 0)
		ret = json_get_string(&cpus, &r->cpuset_cpus, err);
	if (ret == 0)
		ret = json_get_string(&mems, &r->cpuset_mems, err);
	return ret;
}

static int read_rule(const struct json_at *at, struct oci_device_rule *out, struct err *err)
{
	struct json_at allow = json_key(at, "allow"), type = json_key(at, "type");
	struct json_at major = json_key(at, "major"), minor = json_key(at, "minor");
	struct json_at access = json_key(at, "access");
	AUTO_FREE char *type_text = NULL;
	AUTO_FREE char *access_text = NULL;
	int ret;

	out->type = 'a';
	out->major = -1;
	out->minor = -1;
	ret = json_get_bool(&allow, &out->allow, err);
	if (ret == 0)
		ret = json_get_string(&type, &type_text, err);
	if (ret == 0)
		ret = json_get_i64(&major, &out->major, err);
	if (ret == 0)
		ret = json_get_i64(&minor, &out->minor, err);
	if (ret == 0)
		ret = json_get_string(&access, &access_text, err);
	if (ret < 0)
		return ret;

	if (type_text && (strlen(type_text) != 1 || !strchr("abcu", type_text[0])))
		return json_err(&type, err, "expected \"a\", \"b\" or \"c\"");
	if (type_text)
		out->type = type_text[0];
	if (access_text && strspn(access_text, "rwm") != strlen(access_text))
		return json_err(&access, err, "expected letters of \"rwm\"");
	out->read = !access_text || strchr(access_text, 'r');
	out->write = !access_text || strchr(access_text, 'w');
	out->mknod = !access_text || strchr(access_text, 'm');
	return 0;
}

static int read_rules(const struct json_at *at, struct oci_resources *r, struct err *err)
{
	size_t n;
	int ret = json_want_array(at, &n, err);

	if (ret == 0)
		ret = oci_list_alloc(n, sizeof(*r->devices), &r->devices, err);
	for (size_t i = 0; ret == 0 && i < n; i++) {
		struct json_at item = json_index(at, i);

		ret = read_rule(&item, &r->devices[i], err);
		r->ndevices = i + 1;
	}
	return ret;
}

static void set_unknown(struct oci_resources *r)
{
	r->memory_limit_bytes = -1;
	r->memory_reservation_bytes = -1;
	r->memory_swap_bytes = -1;
	r->cpu_quota_us = -1;
	r->pids_limit = -1;
}

static int read_limits(const struct json_at *at, struct oci_resources *r, struct err *err)
{
	struct json_at memory = json_key(at, "memory"), cpu = json_key(at, "cpu");
	struct json_at pids = json_key(at, "pids"), pids_limit = json_key(&pids, "limit");
	struct json_at unified = json_key(at, "unified");
	bool present;
	int ret = json_want_object(at, &present, err);

	set_unknown(r);
	if (ret == 0)
		ret = read_memory(&memory, r, err);
	if (ret == 0)
		ret = read_cpu(&cpu, r, err);
	if (ret == 0)
		ret = json_want_object(&pids, &present, err);
	if (ret == 0)
		ret = read_limit(&pids_limit, &r->pids_limit, err);
	if (ret == 0)
		ret = json_get_string_map(&unified, &r->unified_keys, &r->unified_values, err);
	if (ret == 0)
		ret = oci_fill_string(&r->cpuset_cpus, err);
	if (ret == 0)
		ret = oci_fill_string(&r->cpuset_mems, err);
	return ret;
}

int oci_resources_read(const struct json_at *at, struct oci_resources *r, struct err *err)
{
	struct json_at devices = json_key(at, "devices");
	int ret = read_limits(at, r, err);

	return ret ? ret : read_rules(&devices, r, err);
}

void oci_resources_done(struct oci_resources *r)
{
	free(r->cpuset_cpus);
	free(r->cpuset_mems);
	free(r->devices);
	strings_done(&r->unified_keys);
	strings_done(&r->unified_values);
}

void oci_resources_destroy(struct oci_resources *r)
{
	if (!r)
		return;
	oci_resources_done(r);
	free(r);
}

int oci_resources_parse(const char *text, size_t len, const char *what, struct oci_resources **out,
			struct err *err)
{
	CLEANUP(own_oci_resources_destroy) struct oci_resources *r = calloc(1, sizeof(*r));
	AUTO_JSON struct json_object *v = NULL;
	int ret;

	if (!r)
		return err_set(err, ENOMEM, "parse '%s'", what);
	ret = oci_object_parse(text, len, what, &v, err);
	if (ret < 0)
		return ret;
	struct json_at root = json_root(v);

	ret = read_limits(&root, r, err);
	if (ret < 0)
		return err_wrap(err, "'%s'", what);
	*out = TAKE_PTR(&r);
	return 0;
}

static int64_t newer(int64_t old, int64_t update)
{
	return update == -1 ? old : update;
}

static int copy_strings(const struct oci_strings *from, struct oci_strings *to)
{
	int ret = 0;

	for (size_t i = 0; ret == 0 && i < from->n; i++)
		ret = strings_add(to, from->v[i]);
	return ret;
}

int oci_resources_merge(const struct oci_resources *r, const struct oci_resources *update,
			struct oci_resources **out, struct err *err)
{
	CLEANUP(own_oci_resources_destroy) struct oci_resources *m = calloc(1, sizeof(*m));

	if (!m)
		return err_set(err, ENOMEM, "update limits");
	m->memory_limit_bytes = newer(r->memory_limit_bytes, update->memory_limit_bytes);
	m->memory_reservation_bytes =
		newer(r->memory_reservation_bytes, update->memory_reservation_bytes);
	m->memory_swap_bytes = newer(r->memory_swap_bytes, update->memory_swap_bytes);
	m->cpu_shares = update->cpu_shares ? update->cpu_shares : r->cpu_shares;
	m->cpu_quota_us = newer(r->cpu_quota_us, update->cpu_quota_us);
	m->cpu_period_us = update->cpu_period_us ? update->cpu_period_us : r->cpu_period_us;
	m->pids_limit = newer(r->pids_limit, update->pids_limit);
	m->cpuset_cpus = strdup(update->cpuset_cpus[0] ? update->cpuset_cpus : r->cpuset_cpus);
	m->cpuset_mems = strdup(update->cpuset_mems[0] ? update->cpuset_mems : r->cpuset_mems);
	if (!m->cpuset_cpus || !m->cpuset_mems ||
	    copy_strings(&r->unified_keys, &m->unified_keys) ||
	    copy_strings(&update->unified_keys, &m->unified_keys) ||
	    copy_strings(&r->unified_values, &m->unified_values) ||
	    copy_strings(&update->unified_values, &m->unified_values))
		return err_set(err, ENOMEM, "update limits");
	*out = TAKE_PTR(&m);
	return 0;
}

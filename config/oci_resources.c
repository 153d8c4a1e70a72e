/* linux.resources (runtime-spec 1.2, config-linux.md, "Control groups"). */
#include "config/oci_internal.h"

#include <string.h>

static int read_memory(const struct json_at *at, struct oci_resources *r, struct err *err)
{
	struct json_at limit = json_key(at, "limit"), reservation = json_key(at, "reservation");
	struct json_at swap = json_key(at, "swap");
	bool present;
	int ret = json_want_object(at, &present, err);

	if (ret == 0)
		ret = json_get_i64(&limit, &r->memory_limit_bytes, err);
	if (ret == 0)
		ret = json_get_i64(&reservation, &r->memory_reservation_bytes, err);
	if (ret == 0)
		ret = json_get_i64(&swap, &r->memory_swap_bytes, err);
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
		ret = json_get_i64(&quota, &r->cpu_quota_us, err);
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

int oci_resources_read(const struct json_at *at, struct oci_resources *r, struct err *err)
{
	struct json_at memory = json_key(at, "memory"), cpu = json_key(at, "cpu");
	struct json_at pids = json_key(at, "pids"), pids_limit = json_key(&pids, "limit");
	struct json_at devices = json_key(at, "devices"), unified = json_key(at, "unified");
	bool present;
	int ret = json_want_object(at, &present, err);

	r->memory_limit_bytes = -1;
	r->memory_reservation_bytes = -1;
	r->memory_swap_bytes = -1;
	r->cpu_quota_us = -1;
	r->pids_limit = -1;
	if (ret == 0)
		ret = read_memory(&memory, r, err);
	if (ret == 0)
		ret = read_cpu(&cpu, r, err);
	if (ret == 0)
		ret = json_want_object(&pids, &present, err);
	if (ret == 0)
		ret = json_get_i64(&pids_limit, &r->pids_limit, err);
	if (ret == 0)
		ret = read_rules(&devices, r, err);
	if (ret == 0)
		ret = json_get_string_map(&unified, &r->unified_keys, &r->unified_values, err);
	if (ret == 0)
		ret = oci_fill_string(&r->cpuset_cpus, err);
	if (ret == 0)
		ret = oci_fill_string(&r->cpuset_mems, err);
	return ret;
}

void oci_resources_done(struct oci_resources *r)
{
	free(r->cpuset_cpus);
	free(r->cpuset_mems);
	free(r->devices);
	strings_done(&r->unified_keys);
	strings_done(&r->unified_values);
}

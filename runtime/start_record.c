/* See start_record.h. One table of names feeds reading and writing. */
#include "runtime/start_record.h"

#include "base/clock.h"
#include "base/own.h"
#include "base/str.h"

static const char *const phase_names[START_PHASES] = {
	[START_MONITOR] = "monitor", [START_SPAWN] = "spawn",     [START_EXEC] = "exec",
	[START_MEMORY] = "memory",   [START_DEVICES] = "devices", [START_KERNEL] = "kernel",
	[START_JAIL] = "jail",       [START_ENTRY] = "entry",     [START_LINUX] = "linux",
	[START_INIT] = "init",       [START_READY] = "ready",     [START_AGENT] = "agent",
	[START_CREATED] = "created", [START_STARTED] = "started",
};

void start_record_mark(struct start_record *r, enum start_phase phase)
{
	if (!r->us[phase])
		r->us[phase] = clock_now_us();
}

void start_record_merge(struct start_record *r, struct json_object *data)
{
	struct json_object *times = NULL, *value = NULL;

	if (!json_object_object_get_ex(data, "monotonic-us", &times) ||
	    !json_object_is_type(times, json_type_object))
		return;
	for (int phase = START_EXEC; phase <= START_ENTRY; phase++) {
		if (json_object_object_get_ex(times, phase_names[phase], &value) &&
		    json_object_is_type(value, json_type_int) && json_object_get_int64(value) > 0)
			r->us[phase] = (uint64_t)json_object_get_int64(value);
	}
}

void start_record_guest(struct start_record *r, const struct guest_times *times)
{
	const uint64_t host_us = r->us[START_AGENT] ? r->us[START_AGENT] : clock_now_us();
	const uint64_t since_us = times->now_ns / 1000;

	if (!times->init_ns || times->init_ns > times->ready_ns ||
	    times->ready_ns > times->now_ns || since_us >= host_us)
		return;
	r->us[START_LINUX] = host_us - since_us;
	r->us[START_INIT] = host_us - since_us + times->init_ns / 1000;
	r->us[START_READY] = host_us - since_us + times->ready_ns / 1000;
}

static bool is_of_vmm(int phase)
{
	return phase >= START_EXEC && phase <= START_ENTRY;
}

struct json_object *start_record_for_vmm(const struct start_record *r)
{
	struct json_object *data = json_object_new_object();
	struct json_object *times = json_object_new_object();

	for (int phase = 0; phase < START_PHASES; phase++) {
		if (r->us[phase] && !is_of_vmm(phase))
			(void)json_object_object_add(times, phase_names[phase],
						     json_object_new_int64((int64_t)r->us[phase]));
	}
	(void)json_object_object_add(data, "monotonic-us", times);
	return data;
}

char *start_record_text(const struct start_record *r)
{
	AUTO_STRBUF struct strbuf text = STRBUF_INIT;
	const char *comma = "";
	int rc = strbuf_addf(&text, "{\"version\":1,\"monotonic_us\":{");

	for (int phase = 0; rc == 0 && phase < START_PHASES; phase++) {
		if (!r->us[phase])
			continue;
		rc = strbuf_addf(&text, "%s\"%s\":%llu", comma, phase_names[phase],
				 (unsigned long long)r->us[phase]);
		comma = ",";
	}
	if (rc == 0)
		rc = strbuf_addf(&text, "}}\n");
	return rc < 0 ? NULL : TAKE_PTR(&text.data);
}

/* See start_record.h. One table of names feeds reading and writing. */
#include "runtime/start_record.h"

#include <errno.h>
#include <fcntl.h>
#include <time.h>

#include "base/own.h"
#include "base/path.h"
#include "base/str.h"
#include "config/json.h"

static const char *const phase_names[START_PHASES] = {
	[START_MONITOR] = "monitor", [START_SPAWN] = "spawn",     [START_EXEC] = "exec",
	[START_MEMORY] = "memory",   [START_DEVICES] = "devices", [START_KERNEL] = "kernel",
	[START_ENTRY] = "entry",     [START_AGENT] = "agent",     [START_CREATED] = "created",
	[START_STARTED] = "started",
};

void start_record_mark(struct start_record *r, enum start_phase phase)
{
	struct timespec now;

	if (r->us[phase])
		return;
	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	r->us[phase] = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

void start_record_merge(struct start_record *r, const char *event_line)
{
	AUTO_JSON struct json_object *event = json_tokener_parse(event_line);
	struct json_object *times = NULL, *value = NULL;

	if (!json_object_is_type(event, json_type_object) ||
	    !json_object_object_get_ex(event, "monotonic_us", &times) ||
	    !json_object_is_type(times, json_type_object))
		return;
	for (int phase = START_EXEC; phase <= START_ENTRY; phase++) {
		if (json_object_object_get_ex(times, phase_names[phase], &value) &&
		    json_object_is_type(value, json_type_int))
			r->us[phase] = json_object_get_uint64(value);
	}
}

int start_record_save(struct start_record *r, const char *state_dir, struct err *err)
{
	AUTO_FREE char *path = str_printf("%s/%s", state_dir, START_RECORD_FILE);
	AUTO_STRBUF struct strbuf text = STRBUF_INIT;
	const char *comma = "";

	if (r->saved)
		return 0;
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
	if (rc < 0 || !path)
		return err_set(err, ENOMEM, "write the record of the start");
	r->saved = true;
	return path_write_atomic(AT_FDCWD, path, text.data, text.len, 0600, err);
}

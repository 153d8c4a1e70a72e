/* See broker_fixture.h. */
#include "tests/unit/broker_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <string.h>

#include "base/own.h"
#include "base/path.h"
#include "base/str.h"
#include "runtime/container.h"
#include "runtime/sandbox.h"

static void on_lost(void *arg)
{
	int *lost = arg;

	if (!lost)
		fail_msg("the broker ended");
	++*lost;
}

struct broker *broker_fixture_start(struct loop *loop, const char *state_dir, const char *events,
				    int *lost)
{
	const struct broker_params p = {.loop = loop,
					.sandbox_id = "pod",
					.state_dir = state_dir,
					.events = events,
					.on_lost = on_lost,
					.arg = lost};
	struct broker *b = NULL;
	struct err err = ERR_INIT;

	if (broker_start(&p, &b, &err))
		fail_msg("%s", err.text);
	return b;
}

void broker_fixture_bundle(const char *dir, const char *config)
{
	AUTO_FREE char *file = str_printf("%s/config.json", dir);
	struct err err = ERR_INIT;

	assert_int_equal(path_mkdirs(AT_FDCWD, dir, 0755, &err), 0);
	assert_int_equal(path_write_atomic(AT_FDCWD, file, config, strlen(config), 0600, &err), 0);
}

void broker_fixture_give(struct loop *loop, struct container *c, const char *dir,
			 const char *config)
{
	struct sandbox *s = c->sandbox;
	AUTO_FREE char *text = NULL;
	struct err err = ERR_INIT;
	size_t len = 0;

	broker_fixture_bundle(dir, config);
	s->broker = broker_fixture_start(loop, "/nonexistent", "", NULL);
	if (broker_add(s->broker, c->id, dir, 0, &c->number, &text, &len, &err))
		fail_msg("%s", err.text);
	assert_string_equal(text, config);
	assert_int_equal(oci_parse(text, len, dir, &c->spec, &err), 0);
}

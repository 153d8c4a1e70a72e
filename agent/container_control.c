/*
 * New limits, and standing still (cgroup v2, "cgroup.freeze"): the kernel stops the processes one by one and says by
 * cgroup.events when the last one stands. A wait with a deadline, after which the container goes on.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "agent/cgroup.h"
#include "agent/cgroup_limits.h"
#include "agent/container_internal.h"
#include "base/log.h"
#include "base/own.h"

#define FREEZE_TIMEOUT_MS 10000

struct freezing {
	struct container *c;
	int events_fd;
	struct loop_source *source, *deadline;
	struct question_of asked;
};

int containers_update(struct containers *set, const char *id, const char *resources_json,
		      size_t len, struct err *err)
{
	CLEANUP(own_oci_resources_destroy) struct oci_resources *update = NULL;
	CLEANUP(own_oci_resources_destroy) struct oci_resources *merged = NULL;
	struct err ignored = ERR_INIT;
	struct container *c;
	int ret = container_find_or_say(set, id, &c, err);

	if (ret == 0)
		ret = oci_resources_parse(resources_json, len, "resources", &update, err);
	if (ret == 0)
		ret = oci_resources_merge(&c->spec->resources, update, &merged, err);
	if (ret < 0)
		return ret;
	ret = cgroup_limits_write(c->cgroup_fd, merged, err);
	if (ret == 0) {
		struct oci_resources old = c->spec->resources;

		/* The device rules are what the container was made with. */
		merged->devices = TAKE_PTR(&old.devices);
		merged->ndevices = old.ndevices;
		c->spec->resources = *merged;
		*merged = old;
	} else if (cgroup_limits_write(c->cgroup_fd, &c->spec->resources, &ignored) < 0) {
		log_warn("container %s: put back its limits: %s", c->id, ignored.text);
	}
	return ret;
}

static void freezing_free(struct freezing *f)
{
	f->c->freezing = NULL;
	loop_remove(f->source);
	loop_remove(f->deadline);
	own_close(&f->events_fd);
	free(f);
}

void container_stop_freezing(struct container *c, const struct err *why)
{
	struct freezing *f = c->freezing;
	struct question_of asked;

	if (!f)
		return;
	asked = f->asked;
	freezing_free(f);
	asked.fn(asked.arg, why);
}

static void on_events(void *arg, int fd, uint32_t events)
{
	struct freezing *f = arg;

	(void)events;
	if (cgroup_frozen(fd))
		container_stop_freezing(f->c, &(struct err)ERR_INIT);
}

static void thaw(struct container *c)
{
	struct err err = ERR_INIT;

	c->paused = false;
	if (cgroup_freeze(c->cgroup_fd, false, &err) < 0)
		log_warn("container %s: %s", c->id, err.text);
}

static void on_late(void *arg)
{
	struct freezing *f = arg;
	struct container *c = f->c;
	struct err why = ERR_INIT;

	(void)err_say(&why, ETIMEDOUT, "the processes of container \"%s\" do not stand still",
		      c->id);
	thaw(c);
	container_stop_freezing(c, &why);
}

static int begin(struct container *c, struct freezing *f, struct err *err)
{
	struct loop *loop = c->set->loop;
	int ret = cgroup_watch(c->cgroup_fd, &f->events_fd, err);

	if (ret == 0)
		ret = loop_add_timer(loop, on_late, f, &f->deadline, err);
	if (ret == 0 && loop_arm(f->deadline, FREEZE_TIMEOUT_MS) < 0)
		ret = err_set(err, errno, "arm a deadline");
	/* A file that was never read polls as changed: one that stands still already is noticed, too. */
	if (ret == 0)
		ret = loop_add_fd(loop, f->events_fd, EPOLLPRI, on_events, f, &f->source, err);
	return ret < 0 ? ret : cgroup_freeze(c->cgroup_fd, true, err);
}

void containers_pause(struct containers *set, const char *id, proc_fn fn, void *arg)
{
	struct err why = ERR_INIT;
	struct container *c = NULL;
	struct freezing *f = NULL;

	if (container_find_or_say(set, id, &c, &why) == 0 && (c->paused || c->removing))
		(void)err_say(&why, EBUSY, "container \"%s\" cannot be paused now", id);
	if (!why.code) {
		f = calloc(1, sizeof(*f));
		if (!f)
			(void)err_set(&why, ENOMEM, "pause a container");
	}
	if (!f) {
		fn(arg, &why);
		return;
	}
	*f = (struct freezing){.c = c, .events_fd = -1, .asked = {fn, arg}};
	c->freezing = f;
	c->paused = true;
	if (begin(c, f, &why) < 0) {
		thaw(c);
		container_stop_freezing(c, &why);
	}
}

int containers_resume(struct containers *set, const char *id, struct err *err)
{
	struct container *c;
	struct err why = ERR_INIT;
	int ret = container_find_or_say(set, id, &c, err);

	if (ret == 0 && !c->paused)
		ret = err_say(err, EINVAL, "container not paused");
	if (ret == 0)
		ret = cgroup_freeze(c->cgroup_fd, false, err);
	if (ret < 0)
		return ret;
	c->paused = false;
	(void)err_say(&why, ECANCELED, "the container was resumed");
	container_stop_freezing(c, &why);
	return 0;
}

/*
 * The end of a container: kill the cgroup, wait until the kernel says that it is empty (cgroup.events), collect the
 * children, then free. The wait has a deadline; a container that outlives it stays, and its removal can be asked again.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "agent/cgroup.h"
#include "agent/container_internal.h"
#include "base/log.h"
#include "base/own.h"

#define REMOVE_TIMEOUT_MS 5000

static void unlink_container(struct container *c)
{
	struct container **at = &c->set->first;

	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
}

static void stop_removing(struct container *c)
{
	loop_remove(c->empty_source);
	loop_remove(c->deadline);
	own_close(&c->events_fd);
	c->empty_source = NULL;
	c->deadline = NULL;
	c->removing = false;
}

static bool all_collected(const struct container *c)
{
	for (const struct exec *e = c->execs; e; e = e->next) {
		if (!proc_has_exited(e->process))
			return false;
	}
	return proc_has_exited(c->init) && !cgroup_populated(c->events_fd);
}

void containers_finish_removals(struct containers *set)
{
	struct container *next;

	for (struct container *c = set->first; c; c = next) {
		struct question_of removed = c->removed;

		next = c->next;
		if (!c->removing || !all_collected(c))
			continue;
		unlink_container(c);
		container_free(c);
		removed.fn(removed.arg, &(struct err)ERR_INIT);
		next = set->first; /* whoever was told may have removed another */
	}
}

static void on_events(void *arg, int fd, uint32_t events)
{
	struct container *c = arg;

	(void)events;
	(void)cgroup_populated(fd); /* reading re-arms the poll */
	containers_reap(c->set);
}

static void on_late(void *arg)
{
	struct container *c = arg;
	struct question_of removed = c->removed;
	struct err why = ERR_INIT;

	(void)err_say(&why, EBUSY, "the processes of container \"%s\" do not end", c->id);
	stop_removing(c);
	removed.fn(removed.arg, &why);
}

static int begin(struct container *c, struct err *err)
{
	struct loop *loop = c->set->loop;
	int ret = cgroup_kill(c->cgroup_fd, err);

	if (ret == 0)
		ret = cgroup_watch(c->cgroup_fd, &c->events_fd, err);
	if (ret == 0)
		ret = loop_add_timer(loop, on_late, c, &c->deadline, err);
	if (ret == 0 && loop_arm(c->deadline, REMOVE_TIMEOUT_MS) < 0)
		ret = err_set(err, errno, "arm a deadline");
	if (ret == 0)
		ret = loop_add_fd(loop, c->events_fd, EPOLLPRI, on_events, c, &c->empty_source,
				  err);
	return ret;
}

void containers_remove(struct containers *set, const char *id, proc_fn fn, void *arg)
{
	struct container *c = container_find(set, id);
	struct err why = ERR_INIT;

	if (!c)
		(void)err_say(&why, ENOENT, "container \"%s\" does not exist", id);
	else if (c->removing)
		(void)err_say(&why, EBUSY, "container \"%s\" is being removed", id);
	if (why.code) {
		fn(arg, &why);
		return;
	}
	c->removing = true;
	c->removed = (struct question_of){fn, arg};
	if (begin(c, &why) < 0) {
		stop_removing(c);
		fn(arg, &why);
	}
	/* For a cgroup that is empty already too: a file that was never read polls as changed. */
}

struct remove_all {
	size_t left;
	proc_fn fn;
	void *arg;
	struct err first;
};

static void on_one_removed(void *arg, const struct err *why)
{
	struct remove_all *all = arg;

	if (why->code && !all->first.code)
		all->first = *why;
	if (--all->left > 0)
		return;
	all->fn(all->arg, &all->first);
	free(all);
}

void containers_remove_all(struct containers *set, proc_fn fn, void *arg)
{
	struct remove_all *all = calloc(1, sizeof(*all));
	struct container *next;
	struct err why = ERR_INIT;

	if (!all) {
		(void)err_set(&why, ENOMEM, "remove the containers");
		fn(arg, &why);
		return;
	}
	*all = (struct remove_all){.left = 1, .fn = fn, .arg = arg};
	for (struct container *c = set->first; c; c = next) {
		next = c->next;
		if (c->removing)
			continue; /* its own asker will hear of it */
		all->left++;
		containers_remove(set, c->id, on_one_removed, all);
	}
	on_one_removed(all, &why);
}

void containers_destroy(struct containers *set)
{
	while (set->first) {
		struct container *c = set->first;
		struct err ignored = ERR_INIT;

		set->first = c->next;
		if (cgroup_kill(c->cgroup_fd, &ignored) < 0)
			log_warn("%s", ignored.text);
		container_free(c);
	}
}

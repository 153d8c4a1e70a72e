/* See listener.h. */
#include "base/listener.h"

#include <stdbool.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>

struct listener {
	struct loop_source *source, *timer;
	bool resting, paused;
	listener_fn fn;
	void *arg;
	uint64_t rests;
};

/* Changing what an entry is watched for needs nothing that could be missing. */
static void watch(struct listener *l)
{
	BUG_ON(loop_mod_fd(l->source, l->resting || l->paused ? 0 : EPOLLIN) < 0);
}

static void rest(struct listener *l)
{
	l->rests++;
	l->resting = loop_arm(l->timer, LISTENER_REST_MS) == 0;
	watch(l);
}

static void on_rested(void *arg)
{
	struct listener *l = arg;

	l->resting = false;
	watch(l);
}

void listener_pause(struct listener *l, bool paused)
{
	l->paused = paused;
	watch(l);
}

static void on_readable(void *arg, int fd, uint32_t events UNUSED)
{
	struct listener *l = arg;
	int conn = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (conn >= 0)
		l->fn(l->arg, conn);
	else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
		rest(l);
}

int listener_create(struct loop *loop, int listen_fd, listener_fn fn, void *arg,
		    struct listener **out, struct err *err)
{
	CLEANUP(own_listener_destroy) struct listener *l = calloc(1, sizeof(*l));
	int ret;

	if (!l)
		return err_set(err, ENOMEM, "listen");
	l->fn = fn;
	l->arg = arg;
	ret = loop_add_timer(loop, on_rested, l, &l->timer, err);
	if (ret == 0)
		ret = loop_add_fd(loop, listen_fd, EPOLLIN, on_readable, l, &l->source, err);
	if (ret < 0)
		return ret;
	*out = TAKE_PTR(&l);
	return 0;
}

void listener_destroy(struct listener *l)
{
	if (!l)
		return;
	loop_remove(l->source);
	loop_remove(l->timer);
	free(l);
}

uint64_t listener_rests(const struct listener *l)
{
	return l->rests;
}

/* A device's thread: runs a loop until it is stopped. */
#include "vmm/iothread.h"

#include <pthread.h>
#include <stdbool.h>

#include "base/log.h"
#include "base/str.h"

struct iothread {
	struct loop *loop;
	pthread_t thread;
	bool running;
	char name[16]; /* pthread_setname_np's limit */
};

int iothread_create(const char *name, struct iothread **out, struct err *err)
{
	CLEANUP(own_iothread_destroy) struct iothread *t = calloc(1, sizeof(*t));
	int rc;

	if (!t)
		return err_set(err, ENOMEM, "thread '%s'", name);
	(void)snprintf(t->name, sizeof(t->name), "%s", name);
	rc = loop_create(&t->loop, err);
	if (rc < 0)
		return rc;
	*out = TAKE_PTR(&t);
	return 0;
}

struct loop *iothread_loop(struct iothread *t)
{
	return t->loop;
}

static void *run(void *arg)
{
	struct iothread *t = arg;
	struct err err = ERR_INIT;

	(void)pthread_setname_np(pthread_self(), t->name);
	if (loop_run(t->loop, &err) < 0)
		log_error("thread %s: %s", t->name, err.text);
	return NULL;
}

int iothread_start(struct iothread *t, struct err *err)
{
	int rc = pthread_create(&t->thread, NULL, run, t);

	if (rc != 0)
		return err_set(err, rc, "start thread '%s'", t->name);
	t->running = true;
	return 0;
}

void iothread_stop(struct iothread *t)
{
	if (!t->running)
		return;
	loop_stop(t->loop);
	(void)pthread_join(t->thread, NULL);
	t->running = false;
}

void iothread_destroy(struct iothread *t)
{
	if (!t)
		return;
	iothread_stop(t);
	loop_destroy(t->loop);
	free(t);
}

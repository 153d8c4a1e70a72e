/* Which engine, and the calls that all of them share. */
#include "vmm/block/engine.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#include "base/log.h"

int block_aio_parse(const char *text, enum block_aio *out, struct err *err)
{
	static const struct {
		const char *text;
		enum block_aio aio;
	} words[] = {
		{"io_uring", BLOCK_AIO_IO_URING},
		{"threads", BLOCK_AIO_THREADS},
		{"native", BLOCK_AIO_AUTO},
	};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (!strcmp(words[i].text, text)) {
			*out = words[i].aio;
			return 0;
		}
	}
	return err_say(err, EINVAL, "aio=%s: io_uring, threads or native is needed", text);
}

int block_engine_create(enum block_aio aio, int only_fd, bool discards, struct block_engine **out,
			struct err *err)
{
	struct err why = ERR_INIT;
	int rc;

	if (aio == BLOCK_AIO_THREADS)
		return block_threads_create(BLOCK_WORKERS_MAX, out, err);
	rc = block_uring_create(only_fd, discards, out, &why);
	if (rc == 0)
		return 0;
	if (aio == BLOCK_AIO_IO_URING)
		return err_say(err, -rc, "%s: use aio=threads", why.text);
	log_info("disk: %s: threads do its work", why.text);
	return block_threads_create(BLOCK_WORKERS_MAX, out, err);
}

int block_engine_start(struct block_engine *e, struct err *err)
{
	return e->ops->start ? e->ops->start(e, err) : 0;
}

void block_engine_destroy(struct block_engine *e)
{
	if (e)
		e->ops->destroy(e);
}

const char *block_engine_name(const struct block_engine *e)
{
	return e->ops->name;
}

int block_engine_event_fd(const struct block_engine *e)
{
	return e->event_fd;
}

void block_engine_submit(struct block_engine *e, struct block_io *io)
{
	e->ops->submit(e, io);
}

bool block_engine_commit(struct block_engine *e)
{
	return e->ops->commit(e);
}

void block_engine_reap(struct block_engine *e)
{
	e->ops->reap(e);
}

void block_engine_wait(const struct block_engine *e, int wake_fd, int timeout_ms)
{
	struct pollfd fds[] = {{.fd = e->event_fd, .events = POLLIN},
			       {.fd = wake_fd, .events = POLLIN}};

	/* Whether it came or was interrupted: the caller looks at what is finished, and at its own clock. */
	(void)poll(fds, ARRAY_SIZE(fds), timeout_ms);
}

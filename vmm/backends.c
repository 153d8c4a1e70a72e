/* A list by name; see the header. */
#include "vmm/backends.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/own.h"

static const char *kind_name(enum backend_kind kind)
{
	switch (kind) {
	case BACKEND_DRIVE:
		return "drive";
	case BACKEND_NETDEV:
		return "netdev";
	case BACKEND_CHARDEV:
		return "chardev";
	}
	return "";
}

struct backend *backends_find(const struct backends *b, enum backend_kind kind, const char *id)
{
	for (size_t i = 0; i < b->n; i++) {
		if (b->list[i]->kind == kind && !strcmp(b->list[i]->id, id))
			return b->list[i];
	}
	return NULL;
}

static void destroy(struct backend *backend)
{
	if (!backend)
		return;
	own_close(&backend->fd);
	own_close(&backend->in_fd);
	while (backend->ntaps > 0)
		own_close(&backend->tap_fds[--backend->ntaps]);
	free(backend->file);
	free(backend);
}
DEFINE_OWNER(destroy, struct backend)

int backends_add(struct backends *b, enum backend_kind kind, const char *id, const char *file,
		 struct backend **out, struct err *err)
{
	CLEANUP(own_destroy) struct backend *backend = NULL;
	const char *what = kind_name(kind);

	if (!*id || strlen(id) >= BACKEND_ID_BYTES)
		return err_say(err, EINVAL, "a %s has a name of 1 to %d bytes", what,
			       BACKEND_ID_BYTES - 1);
	if (backends_find(b, kind, id))
		return err_say(err, EEXIST, "there is a %s '%s' already", what, id);
	if (b->n == BACKENDS_MAX)
		return err_say(err, E2BIG, "%s '%s': there are too many back ends", what, id);
	backend = calloc(1, sizeof(*backend));
	if (!backend)
		return err_set(err, ENOMEM, "%s '%s'", what, id);
	backend->kind = kind;
	backend->fd = backend->in_fd = -1;
	(void)snprintf(backend->id, sizeof(backend->id), "%s", id);
	backend->file = strdup(file);
	if (!backend->file)
		return err_set(err, ENOMEM, "%s '%s'", what, id);
	*out = backend;
	b->list[b->n++] = TAKE_PTR(&backend);
	return 0;
}

void backends_drop(struct backends *b, struct backend *backend)
{
	size_t at = 0;

	while (b->list[at] != backend)
		at++;
	for (size_t i = 0; i < b->n; i++) {
		if (b->list[i]->above == backend)
			b->list[i]->above = NULL;
	}
	b->n--;
	memmove(&b->list[at], &b->list[at + 1], (b->n - at) * sizeof(b->list[0]));
	destroy(backend);
}

int backends_check_free(const struct backend *backend, struct err *err)
{
	const char *user = backend->above ? backend->above->id : backend->user;

	if (!*user)
		return 0;
	return err_say(err, EBUSY, "the %s '%s' is used by '%s'", kind_name(backend->kind),
		       backend->id, user);
}

int backends_remove(struct backends *b, struct backend *backend, struct err *err)
{
	int rc = backends_check_free(backend, err);

	if (rc < 0)
		return rc;
	backends_drop(b, backend);
	return 0;
}

int backends_claim(struct backends *b, enum backend_kind kind, const char *id, const char *user,
		   struct backend **out, struct err *err)
{
	struct backend *backend = backends_find(b, kind, id);
	int rc;

	if (!backend)
		return err_say(err, ENOENT, "there is no %s '%s'", kind_name(kind), id);
	rc = backends_check_free(backend, err);
	if (rc < 0)
		return rc;
	(void)snprintf(backend->user, sizeof(backend->user), "%s", user);
	*out = backend;
	return 0;
}

void backends_release(struct backends *b, const char *user)
{
	for (size_t i = 0; i < b->n; i++) {
		if (!strcmp(b->list[i]->user, user))
			b->list[i]->user[0] = '\0';
	}
}

void backends_done(struct backends *b)
{
	for (size_t i = 0; i < b->n; i++)
		destroy(b->list[i]);
	b->n = 0;
	fdsets_done(&b->fdsets);
}

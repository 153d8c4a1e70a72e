/* See hooks.h. */
#include "runtime/hooks.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/own.h"
#include "base/path.h"
#include "base/str.h"
#include "config/oci_state.h"
#include "runtime/hook.h"

struct moment {
	enum oci_hook_kind first, last;
	const char *status;
	bool keep_going;
};

/* The status is the one runc gives. */
static const struct moment moments[] = {
	[HOOKS_CREATE] = {OCI_HOOK_PRESTART, OCI_HOOK_CREATE_CONTAINER, "creating", false},
	[HOOKS_POSTSTART] = {OCI_HOOK_POSTSTART, OCI_HOOK_POSTSTART, "running", false},
	[HOOKS_POSTSTOP] = {OCI_HOOK_POSTSTOP, OCI_HOOK_POSTSTOP, "stopped", true},
};

struct hooks {
	struct hooks_list *list;
	struct hooks_subject s;
	const struct moment *moment;
	enum oci_hook_kind kind;
	size_t index; /* the next one, of its kind */
	char what[40];
	struct hook_run *running;
	hook_fn on_hook; /* the end of one leads to the start of the next */
	hooks_fn fn;
	void *arg;
	struct hooks *next; /* in the list */
};

static void end(struct hooks *h, const struct err *why)
{
	hooks_fn fn = h->fn;
	void *arg = h->arg;

	for (struct hooks **at = &h->list->first; *at; at = &(*at)->next) {
		if (*at == h) {
			*at = h->next;
			break;
		}
	}
	hook_destroy(h->running);
	free(h);
	fn(arg, why);
}

/* False when that ends the row. */
static bool forgive(const struct hooks *h, const struct err *why)
{
	if (why->code && h->moment->keep_going)
		log_warn("container %s: %s", h->s.id, why->text);
	return !why->code || h->moment->keep_going;
}

/* Stands at the next hook; false when there is none. */
static bool find_next(struct hooks *h)
{
	while (h->s.spec && h->kind <= h->moment->last) {
		if (h->index < h->s.spec->nhooks[h->kind])
			return true;
		h->kind++;
		h->index = 0;
	}
	return false;
}

bool hooks_wanted(const struct oci_spec *spec, enum hooks_moment moment)
{
	bool any = false;

	for (enum oci_hook_kind k = moments[moment].first; spec && k <= moments[moment].last; k++)
		any = any || spec->nhooks[k];
	return any;
}

static int start_one(struct hooks *h, struct err *err)
{
	AUTO_FD int state_fd = -1;
	const bool ours = h->kind == OCI_HOOK_CREATE_CONTAINER;

	(void)snprintf(h->what, sizeof(h->what), "%s hook #%zu", oci_hook_name(h->kind), h->index);
	int rc = oci_state_open(h->s.spec, h->s.id, h->s.bundle, h->moment->status, h->s.pid,
				&state_fd, err);
	if (rc)
		return rc;
	const struct hook_params p = {
		.loop = h->list->loop,
		.hook = &h->s.spec->hooks[h->kind][h->index++],
		.what = h->what,
		.cwd = h->s.bundle,
		.state_fd = state_fd,
		.mount_ns_fd = ours ? 0 : h->list->host_mount_ns_fd,
		.fn = h->on_hook,
		.arg = h,
	};
	return hook_start(&p, &h->running, err);
}

static void go_on(struct hooks *h)
{
	struct err err = ERR_INIT;

	while (find_next(h)) {
		if (!start_one(h, &err))
			return;
		(void)err_wrap(&err, "error running %s", h->what);
		if (!forgive(h, &err))
			break;
		err = (struct err)ERR_INIT;
	}
	end(h, &err);
}

static void on_hook(void *arg, const struct err *why)
{
	struct hooks *h = arg;
	struct err err = *why;

	hook_destroy(TAKE_PTR(&h->running));
	if (err.code)
		(void)err_wrap(&err, "error running %s", h->what);
	if (forgive(h, &err))
		go_on(h);
	else
		end(h, &err);
}

void hooks_run(struct hooks_list *list, const struct hooks_subject *s, enum hooks_moment moment,
	       hooks_fn fn, void *arg)
{
	struct err err = ERR_INIT;
	struct hooks *h = list->closed ? NULL : calloc(1, sizeof(*h));

	if (!h) {
		(void)err_set(&err, list->closed ? ECANCELED : ENOMEM, "run the hooks of '%s'",
			      s->id);
		fn(arg, &err);
		return;
	}
	h->list = list;
	h->s = *s;
	h->moment = &moments[moment];
	h->kind = h->moment->first;
	h->on_hook = on_hook;
	h->fn = fn;
	h->arg = arg;
	h->next = list->first;
	list->first = h;
	go_on(h);
}

void hooks_close(struct hooks_list *list)
{
	struct err err = ERR_INIT;

	list->closed = true;
	(void)err_say(&err, ECANCELED, "hooks are not run to their end: the sandbox is removed");
	while (list->first)
		end(list->first, &err);
}

static void on_all_run(void *arg, const struct err *why)
{
	(void)why; /* failures have been logged one by one */
	*(bool *)arg = true;
}

static int poststop(const char *id, const char *bundle, struct err *err)
{
	CLEANUP(own_loop_destroy) struct loop *loop = NULL;
	CLEANUP(own_oci_spec_destroy) struct oci_spec *spec = NULL;
	AUTO_FREE char *path = str_printf("%s/config.json", bundle);
	AUTO_FREE char *text = NULL;
	size_t len = 0;
	bool over = false;

	if (!path)
		return err_set(err, ENOMEM, "read the bundle");
	int rc = path_read(AT_FDCWD, path, OCI_MAX_SPEC_BYTES, &text, &len, err);
	if (!rc)
		rc = oci_parse(text, len, path, &spec, err);
	if (!rc)
		rc = loop_create(&loop, err);
	if (rc)
		return rc;
	struct hooks_list list = {.loop = loop};
	const struct hooks_subject s = {.spec = spec, .id = id, .bundle = bundle};

	hooks_run(&list, &s, HOOKS_POSTSTOP, on_all_run, &over);
	while (!rc && !over)
		rc = loop_step(loop, -1, err);
	hooks_close(&list);
	return rc;
}

void hooks_poststop_of_bundle(const char *id, const char *bundle)
{
	struct err err = ERR_INIT;

	if (poststop(id, bundle, &err))
		log_warn("container %s: poststop hooks are not run: %s", id, err.text);
}

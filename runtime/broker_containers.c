/*
 * The broker's containers: it reads each bundle's config.json itself, once, and acts by what that says; the monitor gets the same
 * bytes to plan by. A container is known by a number that is never used again.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/own.h"
#include "base/path.h"
#include "base/str.h"
#include "config/oci.h"
#include "config/plan.h"
#include "runtime/broker_container.h"
#include "runtime/network_join.h"
#include "runtime/shim.h"

#define OOM_MARKER "oom"

static void container_destroy(struct broker_container *c)
{
	if (!c)
		return;
	loop_remove(c->sharer);
	oci_spec_destroy(c->spec);
	container_plan_destroy(c->plan);
	own_close(&c->bundle_fd);
	own_close(&c->outcome_fd);
	free(c->id);
	free(c->bundle);
	free(c);
}
DEFINE_OWNER(container_destroy, struct broker_container)

struct broker_container *broker_container_find(const struct broker_state *s,
					       const struct broker_request *r, struct err *err)
{
	for (struct broker_container *c = s->containers; c; c = c->next)
		if (c->number == r->container)
			return c;
	(void)err_say(err, ENOENT, "the broker has no container %u", r->container);
	return NULL;
}

/* One of that id that is in the shared tree, or may come to be. */
static bool is_taken(const struct broker_state *s, const char *id)
{
	for (const struct broker_container *c = s->containers; c; c = c->next)
		if (strcmp(c->id, id) == 0 && (!c->gone || c->sharer))
			return true;
	return false;
}

/* The same bytes for both: the file may change between two readings. */
static int lend_config(const char *text, size_t len, struct broker_deed *d, struct err *err)
{
	int fd = fd_of_bytes("config.json", text, len);

	if (fd < 0)
		return err_set(err, -fd, "lend config.json");
	d->given[d->ngiven++] = fd;
	return 0;
}

/* After the seal only what says itself that it belongs to this pod. */
static int check_pod(const struct broker_state *s, const struct broker_container *c,
		     struct err *err)
{
	if (!s->policy.sealed || strcmp(shim_group_of(c->spec, c->id), s->sandbox_id) == 0)
		return 0;
	return err_say(err, EPERM, "container '%s' is refused: it belongs to another pod", c->id);
}

static int check_network(const struct broker_state *s, const struct broker_container *c,
			 struct err *err)
{
	const struct oci_namespace *ns = oci_namespace(c->spec, OCI_NS_NETWORK);

	return s->network && ns && *ns->path ? network_joins_check(s->network, ns->path, err) : 0;
}

/* The directory of all bundles may be reached by links of the host's own; below it there are none. */
static int open_bundle(const struct broker_policy *p, const char *bundle)
{
	const char *from = p->sealed ? p->bundle_head : bundle;
	AUTO_FD int fd =
		open(from, O_PATH | O_DIRECTORY | O_CLOEXEC | (p->sealed ? 0 : O_NOFOLLOW));

	if (fd < 0)
		return -errno;
	return p->sealed ? path_open_without_links(fd, bundle + strlen(from), O_PATH | O_DIRECTORY)
			 : TAKE_FD(&fd);
}

static int read_config(struct broker_state *s, struct broker_container *c, struct broker_deed *d,
		       struct err *err)
{
	AUTO_FREE char *path = str_printf("%s/config.json", c->bundle);
	AUTO_FREE char *text = NULL;
	size_t len = 0;

	if (!path)
		return err_set(err, ENOMEM, "read the bundle");
	c->bundle_fd = open_bundle(&s->policy, c->bundle);
	if (c->bundle_fd < 0)
		return err_set(err, -c->bundle_fd, "bundle '%s'", c->bundle);
	int rc = path_read(c->bundle_fd, "config.json", OCI_MAX_SPEC_BYTES, &text, &len, err);
	if (rc)
		return err_wrap(err, "bundle '%s'", c->bundle);
	rc = oci_parse(text, len, path, &c->spec, err);
	if (!rc)
		rc = oci_check(c->spec, err);
	if (!rc)
		rc = check_pod(s, c, err);
	if (!rc)
		rc = check_network(s, c, err);
	if (!rc)
		rc = container_plan_make(c->id, c->bundle, text, len, c->spec, &c->plan, err);
	return rc ? rc : lend_config(text, len, d, err);
}

static int container_new(struct broker_state *s, const struct broker_request *r,
			 struct broker_container **out, struct err *err)
{
	CLEANUP(own_container_destroy) struct broker_container *c = calloc(1, sizeof(*c));

	if (!c)
		return err_set(err, ENOMEM, "make a container");
	c->state = s;
	c->bundle_fd = c->outcome_fd = -1;
	c->id = strdup(r->texts[0]);
	c->bundle = strdup(r->texts[1]);
	c->stub_pid = (pid_t)r->value;
	if (!c->id || !c->bundle)
		return err_set(err, ENOMEM, "make a container");
	*out = TAKE_PTR(&c);
	return 0;
}

int broker_do_add(struct broker_state *s, struct broker_deed *d, struct err *err)
{
	const struct broker_request *r = d->request;
	CLEANUP(own_container_destroy) struct broker_container *c = NULL;
	int rc = broker_policy_bundle(&s->policy, r->texts[0], r->texts[1], err);

	if (!rc && s->policy.sealed && r->value)
		rc = err_say(err, EPERM, "a stub for a later container is refused");
	if (!rc && (is_taken(s, r->texts[0]) || s->ncontainers == BROKER_MAX_CONTAINERS))
		rc = err_say(err, EEXIST, "the broker has container '%s', or too many",
			     r->texts[0]);
	if (!rc)
		rc = container_new(s, r, &c, err);
	if (!rc)
		rc = read_config(s, c, d, err);
	if (rc)
		return rc;
	/* Of an earlier container of this bundle. */
	if (unlinkat(c->bundle_fd, OOM_MARKER, 0) && errno != ENOENT)
		log_warn("container %s: remove the oom marker: %s", c->id, strerror(errno));
	c->number = d->value = ++s->last_number;
	c->next = s->containers;
	s->containers = TAKE_PTR(&c);
	s->ncontainers++;
	return 0;
}

void broker_container_say(const struct broker_container *c, const struct err *status)
{
	uint8_t bytes[BROKER_REPLY_MAX_BYTES];
	const size_t len = broker_reply_encode(status, 0, bytes);

	if (c->outcome_fd >= 0 && fd_send(c->outcome_fd, bytes, len, NULL, 0) < 0)
		log_debug("container %s: nobody waits for it", c->id);
}

void broker_container_remove(struct broker_container *c)
{
	struct broker_state *s = c->state;

	for (struct broker_container **at = &s->containers; *at; at = &(*at)->next) {
		if (*at == c) {
			*at = c->next;
			break;
		}
	}
	s->ncontainers--;
	loop_kill_child(c->sharer);
	broker_container_take_back(c);
	container_destroy(c);
}

int broker_do_forget(struct broker_state *s, struct broker_deed *d, struct err *err)
{
	struct broker_container *c = broker_container_find(s, d->request, err);

	if (!c)
		return -ENOENT;
	if (c->outcome_fd >= 0 && !c->sharer)
		return err_say(err, EBUSY, "hooks of container '%s' run", c->id);
	loop_kill_child(c->sharer);
	c->gone = c->forgotten = true;
	if (!c->sharer)
		broker_container_remove(c);
	return 0;
}

void broker_drop_containers(struct broker_state *s)
{
	while (s->containers)
		broker_container_remove(s->containers);
}

static void on_hooks_end(void *arg, const struct err *why)
{
	struct broker_container *c = arg;

	broker_container_say(c, why);
	own_close(&c->outcome_fd);
}

static pid_t pid_for(const struct broker_state *s, const struct broker_container *c,
		     enum hooks_moment moment)
{
	if (moment == HOOKS_POSTSTOP)
		return 0;
	return c->stub_pid ? c->stub_pid : s->vmm_pid;
}

int broker_do_hooks(struct broker_state *s, struct broker_deed *d, struct err *err)
{
	struct broker_container *c = broker_container_find(s, d->request, err);
	const uint32_t moment = d->request->value;
	int pair[2];

	if (!c)
		return -ENOENT;
	if (moment > HOOKS_POSTSTOP || c->outcome_fd >= 0 || c->moments & 1u << moment)
		return err_say(err, EBUSY, "hooks of container '%s' run, or have run", c->id);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return err_set(err, errno, "run the hooks of '%s'", c->id);
	c->moments |= 1u << moment;
	c->outcome_fd = pair[0];
	d->given[d->ngiven++] = pair[1];
	const struct hooks_subject subject = {
		.spec = c->spec,
		.id = c->id,
		.bundle = c->bundle,
		.pid = pid_for(s, c, (enum hooks_moment)moment),
	};
	hooks_run(&s->hooks, &subject, (enum hooks_moment)moment, on_hooks_end, c);
	return 0;
}

/* By it CRI-O and podman know. */
int broker_do_mark_oom(struct broker_state *s, struct broker_deed *d, struct err *err)
{
	const struct broker_container *c = broker_container_find(s, d->request, err);
	AUTO_FD int fd = -1;

	if (!c)
		return -ENOENT;
	fd = openat(c->bundle_fd, OOM_MARKER, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644);
	return fd < 0 ? err_set(err, errno, "leave the oom marker of '%s'", c->id) : 0;
}

/* See broker_wire.h. */
#include "runtime/broker_wire.h"

#include <endian.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "base/cursor.h"

#define HEAD_BYTES 12

static const struct {
	const char *name;
	size_t min_texts, max_texts;
} ops[BROKER_OPS] = {
	[BROKER_ADD] = {"add", 2, 2},
	[BROKER_SHARE] = {"share", 0, BROKER_MAX_TEXTS},
	[BROKER_UNSHARE] = {"unshare", 0, 0},
	[BROKER_FORGET] = {"forget", 0, 0},
	[BROKER_HOOKS] = {"hooks", 0, 0},
	[BROKER_CLOSE_HOOKS] = {"close-hooks", 0, 0},
	[BROKER_MARK_OOM] = {"mark-oom", 0, 0},
	[BROKER_OPEN_STREAM] = {"open-stream", 1, 1},
	[BROKER_CONNECT_GUEST] = {"connect-guest", 0, 0},
	[BROKER_CONNECT_EVENTS] = {"connect-events", 0, 0},
	[BROKER_RECORD] = {"record", 1, 1},
	[BROKER_NETWORK] = {"network", 1, 1},
	[BROKER_JOIN] = {"join", 0, 0},
	[BROKER_LEAVE] = {"leave", 0, 0},
	[BROKER_MTU] = {"mtu", 0, 0},
	[BROKER_SEAL] = {"seal", 0, 0},
	[BROKER_END] = {"end", 0, 0},
};

const char *broker_op_name(enum broker_op op)
{
	return ops[op].name;
}

int broker_request_encode(const struct broker_request *r, struct strbuf *out, struct err *err)
{
	const uint32_t head[] = {htole32((uint32_t)r->op), htole32(r->container),
				 htole32(r->value)};

	_Static_assert(sizeof(head) == HEAD_BYTES, "three words");
	out->max_bytes = BROKER_MAX_BYTES;
	int rc = strbuf_add(out, head, sizeof(head));
	for (size_t i = 0; !rc && i < r->ntexts; i++)
		rc = strbuf_add(out, r->texts[i], strlen(r->texts[i]) + 1);
	if (rc)
		return err_set(err, rc == -EMSGSIZE ? E2BIG : -rc, "ask the broker (%s)",
			       ops[r->op].name);
	return 0;
}

int broker_request_decode(const void *bytes, size_t len, struct broker_request *out)
{
	struct cursor c = cursor_of(bytes, len);
	const uint32_t op = cursor_u32(&c);

	out->container = cursor_u32(&c);
	out->value = cursor_u32(&c);
	out->ntexts = 0;
	if (c.bad || len > BROKER_MAX_BYTES || op >= BROKER_OPS)
		return -EPROTO;
	out->op = (enum broker_op)op;
	while (c.left) {
		const char *text = cursor_cstr(&c);

		if (!text || out->ntexts == ops[op].max_texts)
			return -EPROTO;
		out->texts[out->ntexts++] = text;
	}
	return out->ntexts < ops[op].min_texts ? -EPROTO : 0;
}

static bool put(struct broker_request *r, const char *text)
{
	if (r->ntexts == BROKER_MAX_TEXTS)
		return false;
	r->texts[r->ntexts++] = text;
	return true;
}

static bool put_mount(struct broker_request *r, const struct rootfs_mount *m)
{
	bool fits = put(r, m->type) && put(r, m->source) && put(r, m->target);

	for (size_t i = 0; fits && i < m->noptions; i++)
		fits = !*m->options[i] || put(r, m->options[i]);
	return fits && put(r, "");
}

int broker_mounts_put(struct broker_request *r, const struct rootfs_mount *mounts, size_t n)
{
	bool fits = n <= BROKER_MAX_MOUNTS;

	for (size_t i = 0; fits && i < n; i++)
		fits = put_mount(r, &mounts[i]);
	return fits ? 0 : -E2BIG;
}

int broker_mounts_decode(const struct broker_request *r, struct rootfs_mount out[BROKER_MAX_MOUNTS],
			 size_t *n)
{
	size_t at = 0;

	for (*n = 0; at < r->ntexts; ++*n) {
		if (*n == BROKER_MAX_MOUNTS || r->ntexts - at < 4)
			return -EPROTO;
		struct rootfs_mount *m = &out[*n];

		*m = (struct rootfs_mount){r->texts[at], r->texts[at + 1], r->texts[at + 2],
					   &r->texts[at + 3], 0};
		for (at += 3; at < r->ntexts && *r->texts[at]; at++)
			m->noptions++;
		if (at++ == r->ntexts)
			return -EPROTO;
	}
	return 0;
}

size_t broker_reply_encode(const struct err *status, uint32_t value,
			   uint8_t out[BROKER_REPLY_MAX_BYTES])
{
	const uint32_t head[] = {htole32((uint32_t)status->code), htole32(value)};
	const size_t len = strnlen(status->text, ERR_TEXT_BYTES - 1);

	memcpy(out, head, sizeof(head));
	memcpy(out + sizeof(head), status->text, len);
	out[sizeof(head) + len] = '\0';
	return sizeof(head) + len + 1;
}

int broker_reply_decode(const void *bytes, size_t len, uint32_t *value, struct err *status)
{
	struct cursor c = cursor_of(bytes, len);
	const uint32_t code = cursor_u32(&c);
	const uint32_t number = cursor_u32(&c);
	const char *text = cursor_cstr(&c);

	if (c.bad || c.left || code > INT16_MAX)
		return err_say(status, EPROTO, "the broker's answer cannot be read");
	if (code)
		return err_say(status, (int)code, "%s", text);
	*value = number;
	return 0;
}

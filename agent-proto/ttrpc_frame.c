/*
 * The bytes of ttrpc (see ttrpc_frame.h). Nothing here knows of descriptors or connections, so that every byte sequence
 * can be tried in a test.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent-proto/ttrpc_frame.h"
#include "agent-proto/ttrpc_wire.pb-c.h"
#include "base/cursor.h"
#include "base/own.h"

#define BODY_FIRST_BYTES 4096
#define BODY_KEEP_BYTES  65536

static size_t min_size(size_t a, size_t b)
{
	return a < b ? a : b;
}

size_t ttrpc_reader_wants(const struct ttrpc_reader *r)
{
	if (r->raw_have < TTRPC_HEADER_BYTES)
		return TTRPC_HEADER_BYTES - r->raw_have;
	return r->header.body_bytes - r->body_have;
}

static void parse_header(struct ttrpc_reader *r)
{
	struct cursor c = cursor_of(r->raw, sizeof(r->raw));

	r->header.body_bytes = cursor_be32(&c);
	r->header.stream = cursor_be32(&c);
	r->header.type = cursor_u8(&c);
	r->header.flags = cursor_u8(&c);

	bool read_by_us =
		r->header.type == TTRPC_TYPE_REQUEST || r->header.type == TTRPC_TYPE_RESPONSE;
	r->drained = !read_by_us || r->header.body_bytes > TTRPC_MAX_BODY;
}

/* Doubles towards what was announced, so that a peer pays with bytes for the memory it makes us hold. */
static int make_room(struct ttrpc_reader *r, size_t need)
{
	if (need <= r->body_cap)
		return 0;

	size_t cap = r->body_cap ? r->body_cap : BODY_FIRST_BYTES;
	while (cap < need)
		cap *= 2;

	uint8_t *body = realloc(r->body, cap);
	if (!body)
		return -ENOMEM;
	r->body = body;
	r->body_cap = cap;
	return 0;
}

int ttrpc_reader_feed(struct ttrpc_reader *r, const uint8_t *data, size_t len, size_t *used)
{
	size_t head = 0;

	*used = 0;
	if (r->raw_have < TTRPC_HEADER_BYTES) {
		head = min_size(len, ttrpc_reader_wants(r));
		memcpy(r->raw + r->raw_have, data, head);
		r->raw_have += head;
		if (r->raw_have < TTRPC_HEADER_BYTES) {
			*used = head;
			return 0;
		}
		parse_header(r);
	}

	size_t take = min_size(len - head, ttrpc_reader_wants(r));
	if (take > 0 && !r->drained) {
		int rc = make_room(r, r->body_have + take);
		if (rc < 0)
			return rc;
		memcpy(r->body + r->body_have, data + head, take);
	}
	r->body_have += (uint32_t)take;
	*used = head + take;
	return ttrpc_reader_wants(r) == 0;
}

void ttrpc_reader_next(struct ttrpc_reader *r)
{
	r->raw_have = 0;
	r->body_have = 0;
	r->drained = false;
	/* One large message must not cost its size for the life of the connection. */
	if (r->body_cap > BODY_KEEP_BYTES)
		ttrpc_reader_done(r);
}

bool ttrpc_reader_partial(const struct ttrpc_reader *r)
{
	return r->raw_have > 0;
}

void ttrpc_reader_done(struct ttrpc_reader *r)
{
	free(r->body);
	r->body = NULL;
	r->body_cap = 0;
}

/* Length of the UTF-8 sequence at `s` (RFC 3629: no overlong forms, no surrogates); 0 when it is none. */
static size_t utf8_len(const unsigned char *s)
{
	static const struct {
		unsigned char lead_min, lead_max, second_min, second_max;
		size_t len;
	} forms[] = {
		{0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
		{0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3},
		{0xee, 0xef, 0x80, 0xbf, 3}, {0xf0, 0xf0, 0x90, 0xbf, 4},
		{0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
	};

	if (s[0] < 0x80)
		return 1;
	for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
		if (s[0] < forms[i].lead_min || s[0] > forms[i].lead_max)
			continue;
		if (s[1] < forms[i].second_min || s[1] > forms[i].second_max)
			return 0;
		for (size_t k = 2; k < forms[i].len; k++) {
			if ((s[k] & 0xc0) != 0x80)
				return 0;
		}
		return forms[i].len;
	}
	return 0;
}

void ttrpc_clean_text(char *text)
{
	unsigned char *s = (unsigned char *)text;

	while (*s) {
		size_t n = utf8_len(s);
		bool control = (*s < 0x20 && *s != '\n' && *s != '\t') || *s == 0x7f ||
			       (n == 2 && s[0] == 0xc2 && s[1] < 0xa0);
		if (n == 0 || control) {
			memset(s, '?', n ? n : 1);
			s += n ? n : 1;
			continue;
		}
		s += n;
	}
}

static int frame_of(const struct ttrpc_header *h, const ProtobufCMessage *body,
		    struct ttrpc_frame **out)
{
	size_t len = protobuf_c_message_get_packed_size(body);

	if (len > TTRPC_MAX_BODY)
		return -EMSGSIZE;

	struct ttrpc_frame *f = malloc(sizeof(*f) + TTRPC_HEADER_BYTES + len);
	if (!f)
		return -ENOMEM;
	*f = (struct ttrpc_frame){.len = TTRPC_HEADER_BYTES + len};

	uint32_t be_len = htonl((uint32_t)len);
	uint32_t be_stream = htonl(h->stream);
	memcpy(f->bytes, &be_len, 4);
	memcpy(f->bytes + 4, &be_stream, 4);
	f->bytes[8] = h->type;
	f->bytes[9] = h->flags;
	protobuf_c_message_pack(body, f->bytes + TTRPC_HEADER_BYTES);
	*out = f;
	return 0;
}

/* protobuf-c's message structs hold mutable pointers, packing only reads through them. */
static ProtobufCBinaryData lend(const void *payload, size_t len)
{
	return (ProtobufCBinaryData){.len = len, .data = (uint8_t *)(uintptr_t)payload};
}

int ttrpc_encode_request(const struct ttrpc_request_words *words, const void *payload, size_t len,
			 struct ttrpc_frame **out)
{
	struct ttrpc_header h = {.stream = words->stream, .type = TTRPC_TYPE_REQUEST};
	Nacre__Ttrpc__Request body = NACRE__TTRPC__REQUEST__INIT;

	if (len > TTRPC_MAX_BODY)
		return -EMSGSIZE;
	body.service = (char *)(uintptr_t)words->service;
	body.method = (char *)(uintptr_t)words->method;
	body.payload = lend(payload, len);
	body.timeout_nano = (int64_t)words->timeout_ms * 1000000;
	return frame_of(&h, &body.base, out);
}

int ttrpc_encode_response(uint32_t stream, enum ttrpc_code code, const char *message,
			  const void *payload, size_t len, struct ttrpc_frame **out)
{
	struct ttrpc_header h = {.stream = stream, .type = TTRPC_TYPE_RESPONSE};
	Nacre__Ttrpc__Response body = NACRE__TTRPC__RESPONSE__INIT;
	Nacre__Ttrpc__Status status = NACRE__TTRPC__STATUS__INIT;
	AUTO_FREE char *words = NULL;

	if (code == TTRPC_OK) {
		if (len > TTRPC_MAX_BODY)
			return -EMSGSIZE;
		body.payload = lend(payload, len);
		return frame_of(&h, &body.base, out);
	}

	words = strdup(message);
	if (!words)
		return -ENOMEM;
	ttrpc_clean_text(words);
	status.code = (int32_t)code;
	status.message = words;
	body.status = &status;
	return frame_of(&h, &body.base, out);
}

Nacre__Ttrpc__Request *ttrpc_decode_request(const struct ttrpc_reader *r,
					    struct proto_budget *budget)
{
	return nacre__ttrpc__request__unpack(proto_budget_alloc(budget), r->body_have, r->body);
}

void ttrpc_decode_response(const struct ttrpc_reader *r, struct proto_budget *budget,
			   Nacre__Ttrpc__Response **out, struct err *status)
{
	*out = NULL;
	*status = (struct err)ERR_INIT;
	if (r->drained) {
		err_say(status, ttrpc_errno_of_code(TTRPC_RESOURCE_EXHAUSTED),
			"the answer of %u bytes is larger than %u", r->header.body_bytes,
			TTRPC_MAX_BODY);
		return;
	}

	*out = nacre__ttrpc__response__unpack(proto_budget_alloc(budget), r->body_have, r->body);
	if (!*out) {
		err_say(status, EPROTO, "the answer is not a ttrpc response");
		return;
	}

	const Nacre__Ttrpc__Status *s = (*out)->status;
	if (!s || s->code == TTRPC_OK)
		return;
	err_say(status, ttrpc_errno_of_code((enum ttrpc_code)s->code), "%s", s->message);
	ttrpc_clean_text(status->text);
}

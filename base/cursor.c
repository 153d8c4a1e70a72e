/* Every read is bounded by what is left; the first short one poisons the cursor. */
#include "base/cursor.h"

#include <endian.h>
#include <string.h>

struct cursor cursor_of(const void *data, size_t len)
{
	return (struct cursor){.at = data, .left = len, .bad = false};
}

const void *cursor_take(struct cursor *c, size_t len)
{
	const uint8_t *at = c->at;

	if (c->bad || len > c->left) {
		c->bad = true;
		return NULL;
	}
	if (len > 0)
		c->at += len;
	c->left -= len;
	return at;
}

void cursor_copy(struct cursor *c, void *out, size_t len)
{
	const void *at = cursor_take(c, len);

	if (!c->bad && len > 0)
		memcpy(out, at, len);
	else if (len > 0)
		memset(out, 0, len);
}

uint8_t cursor_u8(struct cursor *c)
{
	uint8_t v;

	cursor_copy(c, &v, sizeof(v));
	return v;
}

uint16_t cursor_u16(struct cursor *c)
{
	uint16_t v;

	cursor_copy(c, &v, sizeof(v));
	return le16toh(v);
}

uint32_t cursor_u32(struct cursor *c)
{
	uint32_t v;

	cursor_copy(c, &v, sizeof(v));
	return le32toh(v);
}

uint64_t cursor_u64(struct cursor *c)
{
	uint64_t v;

	cursor_copy(c, &v, sizeof(v));
	return le64toh(v);
}

uint32_t cursor_be32(struct cursor *c)
{
	uint32_t v;

	cursor_copy(c, &v, sizeof(v));
	return be32toh(v);
}

const char *cursor_cstr(struct cursor *c)
{
	const char *nul = NULL;

	if (!c->bad && c->left > 0)
		nul = memchr(c->at, '\0', c->left);
	if (!nul) {
		c->bad = true;
		return NULL;
	}
	return cursor_take(c, (size_t)(nul - (const char *)c->at) + 1);
}

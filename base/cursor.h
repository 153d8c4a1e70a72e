/*
 * A bounded reader over bytes from outside (rule 26). After the first read past the end `bad` is set, every later read
 * gives zeros, and the caller checks `bad` once at the end. Little-endian unless the name says be.
 */
#ifndef NACRE_BASE_CURSOR_H
#define NACRE_BASE_CURSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cursor {
	const uint8_t *at;
	size_t left;
	bool bad;
};

struct cursor cursor_of(const void *data, size_t len);
uint8_t cursor_u8(struct cursor *c);
uint16_t cursor_u16(struct cursor *c);
uint32_t cursor_u32(struct cursor *c);
uint64_t cursor_u64(struct cursor *c);
uint32_t cursor_be32(struct cursor *c);

/* Lends `len` bytes and steps over them; NULL (and bad) when fewer are left. */
const void *cursor_take(struct cursor *c, size_t len);

/* Copies a struct of exactly `len` bytes out; zero-fills `out` and sets bad when short. */
void cursor_copy(struct cursor *c, void *out, size_t len);

/* Lends a NUL-terminated string and steps over it and its NUL; NULL (and bad) when no NUL is left. */
const char *cursor_cstr(struct cursor *c);

#endif

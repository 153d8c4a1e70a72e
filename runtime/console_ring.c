/* Lines of the guest's console in a ring. Whole lines are cut to size on arrival, so that the memory is fixed. */
#include "runtime/console_ring.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define JOINT " | "

static void end_line(struct console_ring *ring)
{
	if (!ring->partial_len)
		return;
	ring->partial[ring->partial_len] = '\0';
	if (!ring->panic[0] && strstr(ring->partial, "Kernel panic - "))
		memcpy(ring->panic, ring->partial, ring->partial_len + 1);
	memcpy(ring->line[ring->next], ring->partial, ring->partial_len + 1);
	ring->next = (ring->next + 1) % CONSOLE_LINES;
	if (ring->count < CONSOLE_LINES)
		ring->count++;
	ring->partial_len = 0;
	ring->partial[0] = '\0';
}

void console_ring_feed(struct console_ring *ring, const char *data, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)data[i];

		if (c == '\n') {
			end_line(ring);
			continue;
		}
		if (c == '\r' || ring->partial_len + 1 >= CONSOLE_LINE_BYTES)
			continue;
		if (c == '\t')
			c = ' ';
		/* What a terminal would obey is not passed on to the user's. */
		ring->partial[ring->partial_len++] = (c < 0x20 || c >= 0x7f) ? '?' : (char)c;
		ring->partial[ring->partial_len] = '\0';
	}
}

const char *console_ring_line(const struct console_ring *ring, unsigned int n)
{
	if (n < ring->count)
		return ring->line[(ring->next + CONSOLE_LINES - ring->count + n) % CONSOLE_LINES];
	if (n == ring->count && ring->partial_len)
		return ring->partial;
	return NULL;
}

/* The oldest of the newest lines that fit. */
static unsigned int first_that_fits(const struct console_ring *ring, unsigned int end, size_t size)
{
	unsigned int first = end;
	size_t need = 1;

	while (first > 0) {
		size_t more = strlen(console_ring_line(ring, first - 1)) + strlen(JOINT);

		if (need + more > size)
			break;
		need += more;
		first--;
	}
	return first;
}

static bool has_panic(const struct console_ring *ring, unsigned int first, unsigned int end)
{
	for (unsigned int n = first; n < end; n++) {
		if (strcmp(console_ring_line(ring, n), ring->panic) == 0)
			return true;
	}
	return false;
}

void console_ring_quote(const struct console_ring *ring, char *out, size_t size)
{
	static const char gap[] = JOINT "..." JOINT;
	unsigned int end = ring->count + (ring->partial_len ? 1 : 0);
	unsigned int first = first_that_fits(ring, end, size);
	size_t at = 0;

	out[0] = '\0';
	if (ring->panic[0] && !has_panic(ring, first, end) &&
	    strlen(ring->panic) + sizeof(gap) < size) {
		at = (size_t)snprintf(out, size, "%s%s", ring->panic, gap);
		first = first_that_fits(ring, end, size - at);
	}
	for (unsigned int n = first; n < end; n++) {
		int wrote = snprintf(out + at, size - at, "%s%s", n > first ? JOINT : "",
				     console_ring_line(ring, n));
		at += (size_t)wrote;
	}
}

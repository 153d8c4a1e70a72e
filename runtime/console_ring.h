/*
 * The last lines of a guest's console, kept for the error that says why it did not boot. The bytes are the guest's: control
 * characters are made harmless before they are kept, lengths are bounded.
 */
#ifndef NACRE_RUNTIME_CONSOLE_RING_H
#define NACRE_RUNTIME_CONSOLE_RING_H

#include <stddef.h>

#define CONSOLE_LINES      20
#define CONSOLE_LINE_BYTES 400

struct console_ring {
	char line[CONSOLE_LINES][CONSOLE_LINE_BYTES]; /* NUL-terminated */
	unsigned int next;                            /* slot the next whole line goes to */
	unsigned int count;
	char partial[CONSOLE_LINE_BYTES]; /* the line being received; longer ones are cut */
	size_t partial_len;
	char panic
		[CONSOLE_LINE_BYTES]; /* the first line of a kernel's panic, "": none: its trace is longer than the ring */
};

void console_ring_feed(struct console_ring *ring, const char *data, size_t len);

/* The n-th kept line, 0 the oldest; an unfinished line counts as the last. NULL past the end. */
const char *console_ring_line(const struct console_ring *ring, unsigned int n);

/*
 * The newest lines that fit, oldest first, joined by " | ", NUL-terminated in `out`. "" when nothing was printed. A panic comes
 * before them.
 */
void console_ring_quote(const struct console_ring *ring, char *out, size_t size);

#endif

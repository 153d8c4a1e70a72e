/* The guest's console: cut at random places, it fills the ring; what is quoted of it is printable and fits. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/compiler.h"
#include "runtime/console_ring.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct console_ring ring = {0};
	char quote[300];

	if (size < 2)
		return 0;
	const size_t cut = 1 + data[0];
	const size_t room = 1 + (size_t)data[1];

	for (size_t at = 2; at < size; at += cut)
		console_ring_feed(&ring, (const char *)data + at,
				  size - at < cut ? size - at : cut);
	console_ring_quote(&ring, quote, room);
	BUG_ON(strlen(quote) >= room);
	for (const char *c = quote; *c; c++)
		BUG_ON(*c < 0x20 || *c > 0x7e);
	return 0;
}

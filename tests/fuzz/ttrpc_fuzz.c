/*
 * Bytes of a ttrpc peer: through the reader in pieces whose sizes come from the input, then through both decoders, as the
 * connection and the blocking client do. Property: what the reader holds never exceeds twice what was fed, plus one page.
 */
#include <stddef.h>
#include <stdint.h>

#include "agent-proto/ttrpc_frame.h"
#include "agent-proto/ttrpc_wire.pb-c.h"
#include "base/compiler.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void decode(const struct ttrpc_reader *r, struct proto_budget *budget)
{
	Nacre__Ttrpc__Request *req = NULL;
	Nacre__Ttrpc__Response *res = NULL;
	struct err status = ERR_INIT;

	if (!r->drained)
		req = ttrpc_decode_request(r, budget);
	ttrpc_decode_response(r, budget, &res, &status);
	nacre__ttrpc__request__free_unpacked(req, proto_budget_alloc(budget));
	nacre__ttrpc__response__free_unpacked(res, proto_budget_alloc(budget));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ttrpc_reader r = {0};
	struct proto_budget *budget = proto_budget_create(1u << 20);
	size_t at = 0;

	while (budget && at < size) {
		size_t piece = 1 + data[at] % 32;
		size_t used = 0;

		if (piece > size - at)
			piece = size - at;
		int rc = ttrpc_reader_feed(&r, data + at, piece, &used);
		BUG_ON(rc < 0 || used > piece || (used == 0 && rc == 0));
		BUG_ON(r.body_cap > 4096 + 2 * size);
		at += used;
		if (rc == 1) {
			decode(&r, budget);
			ttrpc_reader_next(&r);
		}
	}
	ttrpc_reader_done(&r);
	proto_budget_destroy(budget);
	return 0;
}

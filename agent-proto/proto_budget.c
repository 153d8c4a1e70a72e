/*
 * A capped allocator for protobuf-c: two bytes on the wire can ask for a structure of fifty, so a decoder of hostile bytes is
 * bounded by what it may allocate, not by what it reads. Freed memory returns to the budget, so one budget serves a
 * connection for its life.
 */
#include <protobuf-c/protobuf-c.h>
#include <stdalign.h>
#include <stdlib.h>

#include "agent-proto/ttrpc.h"

struct proto_budget {
	ProtobufCAllocator alloc;
	size_t left;
};

/* In front of each block; as wide as the strictest alignment, so that what follows is aligned too. */
struct block {
	alignas(max_align_t) size_t size;
};

static void *budget_alloc(void *data, size_t size)
{
	struct proto_budget *b = data;
	size_t total = 0;

	if (__builtin_add_overflow(size, sizeof(struct block), &total) || total > b->left)
		return NULL;

	struct block *block = malloc(total);
	if (!block)
		return NULL;
	block->size = total;
	b->left -= total;
	return block + 1;
}

static void budget_free(void *data, void *ptr)
{
	struct proto_budget *b = data;

	if (!ptr)
		return;

	struct block *block = (struct block *)ptr - 1;
	b->left += block->size;
	free(block);
}

struct proto_budget *proto_budget_create(size_t max_bytes)
{
	struct proto_budget *b = malloc(sizeof(*b));

	if (!b)
		return NULL;
	*b = (struct proto_budget){
		.alloc = {.alloc = budget_alloc, .free = budget_free, .allocator_data = b},
		.left = max_bytes,
	};
	return b;
}

ProtobufCAllocator *proto_budget_alloc(struct proto_budget *b)
{
	return &b->alloc;
}

void proto_budget_destroy(struct proto_budget *b)
{
	free(b);
}

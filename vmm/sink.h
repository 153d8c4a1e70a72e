/*
 * Where a console's output goes: a bounded ring between the vCPU threads, which must never wait for a reader, and a
 * descriptor (pipe, socket, terminal, file), written by the loop's thread. When the reader is too slow the newest bytes
 * are dropped and counted, so a stuck reader costs 64 KiB and nothing else.
 */
#ifndef NACRE_VMM_SINK_H
#define NACRE_VMM_SINK_H

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"
#include "base/loop.h"
#include "base/own.h"

#define SINK_RING_BYTES 65536

struct sink;

/* Duplicates `fd`. Its file status flags stay as they are: the description may be shared. */
int sink_create(int fd, struct loop *loop, struct sink **out, struct err *err) MUST_CHECK;
/* By the loop's thread, or when it does not run any more. NULL is fine. */
void sink_destroy(struct sink *sink);
DEFINE_OWNER(sink_destroy, struct sink)

/* Any thread; never block. */
void sink_put(struct sink *sink, uint8_t byte);
void sink_write(struct sink *sink, const void *bytes, size_t n);

/* Writes what is left, waiting for the reader at most `timeout_ms`. As sink_destroy. */
void sink_drain(struct sink *sink, int timeout_ms);

uint64_t sink_dropped_bytes(struct sink *sink);

#endif

/*
 * What the guest's kernel says of processes it ends (a fault, a want of memory), read from /dev/kmsg. Nobody else passes it
 * on: the kernel is started with "quiet", so the console does not show it.
 *
 * Thread: the loop's.
 */
#ifndef NACRE_AGENT_KERNEL_WORDS_H
#define NACRE_AGENT_KERNEL_WORDS_H

#include <stdint.h>

#define KERNEL_WORDS_BYTES 256

struct kernel_words {
	int fd;         /* -1: nothing is heard */
	uint64_t heard; /* lines that tell of an end */
	char last[KERNEL_WORDS_BYTES];
};

/* What is said from now on. Where there is no /dev/kmsg nothing is heard. */
void kernel_words_open(struct kernel_words *k);
void kernel_words_close(struct kernel_words *k);

/* For kernel_words_since: what was said up to now. */
uint64_t kernel_words_mark(struct kernel_words *k);

/* The last line about the end of a process since then, "" when there is none; lent until the next call. */
const char *kernel_words_since(struct kernel_words *k, uint64_t mark);

#endif

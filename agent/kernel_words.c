/*
 * See kernel_words.h. A read of /dev/kmsg gives one record: "LEVEL AND FACILITY,NUMBER,TIME,FLAGS;TEXT", then lines of details
 * (Documentation/ABI/testing/dev-kmsg). What programs write there has another facility than the kernel's, 0.
 */
#include "agent/kernel_words.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/own.h"

#define RECORD_BYTES 8192 /* a shorter buffer than the record is an error */
#define MAX_RECORDS  4096 /* a call: one that floods the ring is not followed further */
#define FACILITY(n)  ((n) >> 3)

/* Lines of the kernel about the end of a process: arch/x86/mm/fault.c, arch/x86/kernel/traps.c, arch/riscv, mm/oom_kill.c. */
static const char *const marks[] = {
	": segfault at ",
	"traps: ",
	": unhandled ",
	"Killed process ",
};

void kernel_words_open(struct kernel_words *k)
{
	*k = (struct kernel_words){.fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC)};
	if (k->fd >= 0 && lseek(k->fd, 0, SEEK_END) < 0)
		own_close(&k->fd);
}

void kernel_words_close(struct kernel_words *k)
{
	own_close(&k->fd);
}

static bool tells_of_an_end(const char *text)
{
	for (size_t i = 0; i < ARRAY_SIZE(marks); i++) {
		if (strstr(text, marks[i]))
			return true;
	}
	return false;
}

static void take_record(struct kernel_words *k, char *record)
{
	char *text = strchr(record, ';');

	if (!text || FACILITY(strtoul(record, NULL, 10)) != 0)
		return;
	text++;
	text[strcspn(text, "\n")] = '\0';
	if (!tells_of_an_end(text))
		return;
	k->heard++;
	(void)snprintf(k->last, sizeof(k->last), "%s", text);
}

static void listen_up(struct kernel_words *k)
{
	char record[RECORD_BYTES];

	for (int i = 0; i < MAX_RECORDS && k->fd >= 0; i++) {
		ssize_t n = read(k->fd, record, sizeof(record) - 1);

		/* EPIPE: the ring went round, the next read finds its oldest record. */
		if (n < 0 && (errno == EPIPE || errno == EINTR))
			continue;
		if (n <= 0)
			return;
		record[n] = '\0';
		take_record(k, record);
	}
}

uint64_t kernel_words_mark(struct kernel_words *k)
{
	listen_up(k);
	return k->heard;
}

const char *kernel_words_since(struct kernel_words *k, uint64_t mark)
{
	listen_up(k);
	return k->heard > mark ? k->last : "";
}

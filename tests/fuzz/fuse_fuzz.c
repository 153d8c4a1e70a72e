/*
 * FUSE requests of a guest that lies: the input is a session, each request a length (16 bits),
 * the room for its answer (16 bits) and its bytes. The tree is a fresh temporary directory with
 * one of each kind of file. An input cannot carry node ids or handles it does not know, so a node
 * id of 0xffffffffffffff00 + n means the n-th seen in an answer.
 */
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/cursor.h"
#include "base/own.h"
#include "tests/unit/fs_client.h"

#define KNOWN     16
#define MAX_CALLS 64
#define MAX_FILE  (1U << 20)

/* What answers gave: an entry or an open begins with the number. */
struct known {
	uint64_t ids[KNOWN];
	size_t n;
};

static uint64_t real(const struct known *k, uint64_t id)
{
	return id >= UINT64_MAX - 0xff ? k->ids[id % KNOWN] : id;
}

static void learn(struct known *k, const struct fs_client *c)
{
	if (c->out_len < sizeof(struct fuse_out_header) + sizeof(uint64_t))
		return;
	memcpy(&k->ids[k->n++ % KNOWN], fc_body(c), sizeof(uint64_t));
}

static void substitute(const struct known *k, uint8_t *bytes, size_t len)
{
	struct fuse_in_header in;
	uint64_t fh;

	if (len < sizeof(in))
		return;
	memcpy(&in, bytes, sizeof(in));
	in.nodeid = real(k, in.nodeid);
	memcpy(bytes, &in, sizeof(in));
	if (len < sizeof(in) + sizeof(fh))
		return;
	memcpy(&fh, bytes + sizeof(in), sizeof(fh));
	fh = real(k, fh);
	memcpy(bytes + sizeof(in), &fh, sizeof(fh));
}

static void populate(struct fs_client *c)
{
	BUG_ON(fc_mkdir(c, FUSE_ROOT_ID, "d", 0755, NULL) < 0);
	BUG_ON(fc_mknod(c, FUSE_ROOT_ID, "f", S_IFREG | 0644, 0, NULL) < 0);
	BUG_ON(fc_mknod(c, FUSE_ROOT_ID, "p", S_IFIFO | 0644, 0, NULL) < 0);
	BUG_ON(fc_symlink(c, FUSE_ROOT_ID, "l", "/etc", NULL) < 0);
}

static void serve(struct fs_client *c, struct cursor *in)
{
	struct known known = {0};

	populate(c);
	for (int i = 0; i < MAX_CALLS && in->left >= 4; i++) {
		size_t len = cursor_u16(in), room = cursor_u16(in);
		if (len > in->left)
			len = in->left;

		AUTO_FREE uint8_t *bytes = malloc(len + 1);
		BUG_ON(!bytes);
		if (len > 0)
			memcpy(bytes, cursor_take(in, len), len);
		substitute(&known, bytes, len);
		if (fc_raw(c, bytes, len, room))
			learn(&known, c);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The tree lies in memory, where files of any length cost what they hold: so there is a limit to it. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cursor in = cursor_of(data, size);
	static struct fs_client c;
	struct rlimit before;

	if (!c.mem) {
		(void)signal(SIGXFSZ, SIG_IGN);
		fc_memory(&c);
	}
	BUG_ON(getrlimit(RLIMIT_FSIZE, &before) < 0);
	const struct rlimit limit = {.rlim_cur = MAX_FILE, .rlim_max = before.rlim_max};
	BUG_ON(setrlimit(RLIMIT_FSIZE, &limit) < 0);
	fc_begin(&c, "/dev/shm", false);
	serve(&c, &in);
	fc_end(&c);
	BUG_ON(setrlimit(RLIMIT_FSIZE, &before) < 0);
	return 0;
}

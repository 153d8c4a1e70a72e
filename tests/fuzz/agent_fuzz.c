/*
 * What the agent decodes from outside: the lines of an image's /etc/passwd, option words of mounts, and a child's message.
 * The first byte chooses. (The OCI spec and the frames have targets of their own.)
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/child_channel.h"
#include "agent/exec_path.h"
#include "agent/mount_options.h"
#include "base/own.h"

#define MAX_WORDS 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_passwd(const char *text)
{
	AUTO_FREE char *home = NULL;

	if (passwd_home(text, 7, &home) == 0)
		BUG_ON(!home[0]);
}

static void read_options(char *text)
{
	char *words[MAX_WORDS + 1] = {NULL};
	char type[] = "tmpfs", empty[] = "";
	struct oci_mount mount = {
		.destination = empty, .type = type, .source = empty, .options = {words, 0}};
	struct mount_options options;
	struct err err = ERR_INIT;
	char *save = NULL;

	for (char *w = strtok_r(text, ",", &save); w && mount.options.n < MAX_WORDS;
	     w = strtok_r(NULL, ",", &save))
		words[mount.options.n++] = w;
	if (mount_options_parse(&mount, &options, &err) == 0)
		BUG_ON((options.set & options.clear & ~(uint64_t)0x70) != 0);
	mount_options_done(&options);
}

static void read_message(const uint8_t *data, size_t size)
{
	AUTO_FD int agent = -1;
	AUTO_FD int child = -1;
	AUTO_FD int pty = -1;
	enum child_word word;
	struct err why = ERR_INIT;

	if (child_channel_open(&agent, &child, &why) < 0 || size == 0)
		return;
	if (send(child, data, size, MSG_DONTWAIT) < 0)
		return;
	if (child_channel_receive(agent, &word, &why, &pty) == 0 && word == CHILD_FAILED)
		BUG_ON(why.code <= 0 || strnlen(why.text, sizeof(why.text)) == sizeof(why.text));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_FREE char *text = NULL;

	if (size == 0)
		return 0;
	text = strndup((const char *)data + 1, size - 1);
	if (!text)
		return 0;
	switch (data[0] % 3) {
	case 0:
		read_passwd(text);
		break;
	case 1:
		read_options(text);
		break;
	default:
		read_message(data + 1, size - 1);
		break;
	}
	return 0;
}

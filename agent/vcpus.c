/* See vcpus.h. */
#include "agent/vcpus.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/own.h"
#include "base/path.h"
#include "base/str.h"

#define VCPUS_MAX 4096

/* How many there are: `present` holds "0" or "0-7". */
static int count_present(int dir, uint32_t *count, struct err *err)
{
	AUTO_FREE char *text = NULL;
	uint64_t last = 0;
	int ret = path_read(dir, "present", 256, &text, NULL, err);

	if (ret < 0)
		return ret;
	text[strcspn(text, "\n")] = '\0';
	const char *dash = strrchr(text, '-');

	if (str_to_u64(dash ? dash + 1 : text, 0, VCPUS_MAX - 1, &last) < 0)
		return err_say(err, EIO, "the kernel describes its processors as '%s'", text);
	*count = (uint32_t)last + 1;
	return 0;
}

/* Written only when it is another: the kernel would do it twice without complaint, but slowly. */
static int switch_one(int dir, uint32_t idx, bool on, struct err *err)
{
	char path[32];
	AUTO_FREE char *now = NULL;

	(void)snprintf(path, sizeof(path), "cpu%u/online", idx);
	int ret = path_read(dir, path, 16, &now, NULL, err);
	if (ret < 0)
		return ret;
	return (now[0] == '1') == on ? 0 : path_poke(dir, path, on ? "1" : "0", err);
}

int vcpus_online(const char *dir, uint32_t count, struct err *err)
{
	AUTO_FD int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	uint32_t present = 0;

	if (fd < 0)
		return err_set(err, errno, "open '%s'", dir);
	int ret = count_present(fd, &present, err);
	if (ret == 0 && (count < 1 || count > present))
		ret = err_say(err, ERANGE, "%u vCPUs of %u cannot be brought on line", count,
			      present);
	/* The first one cannot be taken away and has no switch. */
	for (uint32_t i = 1; ret == 0 && i < present; i++)
		ret = switch_one(fd, i, i < count, err);
	return ret;
}

/* What was measured, kept until the next boot: one line, "nacre-kvm-probe 1 BOOT-ID INSTRUCTIONS MICROSECONDS". */
#include <fcntl.h>
#include <string.h>

#include "base/own.h"
#include "base/path.h"
#include "base/str.h"
#include "vmm/probe.h"

#define BOOT_ID_PATH "/proc/sys/kernel/random/boot_id"
#define CACHE_NAME                                                                                 \
	"@@kvm-probe" /* DIR is nacre's: neither a container id nor "@" and a containerd namespace */
#define CACHE_MAGIC "nacre-kvm-probe"
#define CACHE_MAX   512

/* "" when the kernel does not tell: nothing is cached then. */
static void read_boot_id(char out[64])
{
	AUTO_FREE char *text = NULL;
	size_t len;

	out[0] = '\0';
	if (path_read(AT_FDCWD, BOOT_ID_PATH, 63, &text, &len, NULL) < 0)
		return;
	text[strcspn(text, "\n")] = '\0';
	(void)snprintf(out, 64, "%s", text);
}

bool probe_cache_parse(const char *text, const char *boot_id, struct probe_facts *out)
{
	char copy[CACHE_MAX];
	char *fields[5];
	char *rest = copy;
	uint64_t version, insns, cpu_us;
	size_t len = strlen(text);

	if (len >= sizeof(copy) || !*boot_id)
		return false;
	memcpy(copy, text, len + 1);
	copy[strcspn(copy, "\n")] = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		fields[i] = strsep(&rest, " ");
		if (!fields[i])
			return false;
	}
	if (rest || strcmp(fields[0], CACHE_MAGIC) != 0 || strcmp(fields[2], boot_id) != 0)
		return false;
	/* Bounds that keep insns * 1000 in 64 bits. */
	if (str_to_u64(fields[1], 1, 1, &version) < 0 ||
	    str_to_u64(fields[3], 0, UINT32_MAX * 64ULL, &insns) < 0 ||
	    str_to_u64(fields[4], 1, UINT32_MAX, &cpu_us) < 0)
		return false;
	*out = (struct probe_facts){.insns = insns, .cpu_us = cpu_us};
	return true;
}

bool probe_cache_load(const char *dir, struct probe_facts *out)
{
	AUTO_FREE char *path = str_printf("%s/" CACHE_NAME, dir);
	AUTO_FREE char *text = NULL;
	char boot_id[64];
	size_t len;

	read_boot_id(boot_id);
	if (!path || path_read(AT_FDCWD, path, CACHE_MAX - 1, &text, &len, NULL) < 0)
		return false;
	return probe_cache_parse(text, boot_id, out);
}

void probe_cache_store(const char *dir, const struct probe_facts *facts)
{
	AUTO_FREE char *path = str_printf("%s/" CACHE_NAME, dir);
	char line[CACHE_MAX];
	char boot_id[64];
	int n;

	read_boot_id(boot_id);
	if (!path || !*boot_id || facts->failure.code != 0)
		return;
	n = snprintf(line, sizeof(line), CACHE_MAGIC " 1 %s %llu %llu\n", boot_id,
		     (unsigned long long)facts->insns, (unsigned long long)facts->cpu_us);
	if (path_mkdirs(AT_FDCWD, dir, 0755, NULL) < 0 ||
	    path_write_atomic(AT_FDCWD, path, line, (size_t)n, 0644, NULL) < 0)
		return;
}

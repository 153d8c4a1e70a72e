/* Kernel and initramfs files: bounded reads, and the format-independent check of what a decoder planned. */
#include "vmm/image.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/own.h"

int image_take(int taken, const char *path, struct image *out, struct err *err)
{
	AUTO_FD int fd = taken;
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_set(err, errno, "stat '%s'", path);
	if (!S_ISREG(st.st_mode))
		return err_say(err, EINVAL, "'%s' is not a regular file", path);
	*out = (struct image){
		.fd = TAKE_FD(&fd),
		.size_bytes = (uint64_t)st.st_size,
		.path = path,
	};
	return 0;
}

int image_open(const char *path, struct image *out, struct err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

	if (fd < 0)
		return err_set(err, errno, "open '%s'", path);
	return image_take(fd, path, out, err);
}

void image_close(struct image *image)
{
	own_close(&image->fd);
}

static bool inside(const struct image *image, uint64_t off, uint64_t len)
{
	return off <= image->size_bytes && len <= image->size_bytes - off;
}

static bool pread_full(int fd, uint64_t off, void *buf, size_t len)
{
	uint8_t *to = buf;

	while (len > 0) {
		ssize_t n = pread(fd, to, len, (off_t)off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		to += n;
		off += (uint64_t)n;
		len -= (size_t)n;
	}
	return true;
}

bool image_read(const struct image *image, uint64_t off, void *buf, size_t len)
{
	return inside(image, off, len) && pread_full(image->fd, off, buf, len);
}

int image_load(const struct image *image, uint64_t off, uint64_t len, struct gmem *mem,
	       struct gpa to, struct err *err)
{
	void *host = gmem_span(mem, to, len);

	if (!host || !inside(image, off, len))
		return err_say(err, EINVAL,
			       "'%s': %llu bytes at 0x%llx do not fit into guest memory",
			       image->path, (unsigned long long)len, (unsigned long long)to.v);
	errno = 0;
	if (!pread_full(image->fd, off, host, len))
		return err_set(err, errno ? errno : EIO, "read '%s'", image->path);
	return 0;
}

static bool segment_holds(const struct kernel_segment *s, struct gpa entry)
{
	return entry.v >= s->to.v && entry.v - s->to.v < s->file_bytes;
}

int kernel_plan_check(const struct kernel_plan *plan, const struct image *image, uint64_t low,
		      uint64_t high, struct err *err)
{
	bool entry_found = false;

	for (size_t i = 0; i < plan->nsegments; i++) {
		const struct kernel_segment *s = &plan->segments[i];

		if (!inside(image, s->off, s->file_bytes))
			return err_say(err, EINVAL,
				       "kernel '%s' is cut off: segment %zu ends after the "
				       "file",
				       image->path, i);
		if (s->mem_bytes < s->file_bytes)
			return err_say(err, EINVAL,
				       "kernel '%s': segment %zu is larger in the file "
				       "than in memory",
				       image->path, i);
		if (s->to.v < low || s->to.v > high || s->mem_bytes > high - s->to.v)
			return err_say(
				err, EINVAL,
				"kernel '%s': segment %zu (0x%llx, %llu KiB) is outside of the "
				"guest's low memory of %llu MiB: give the guest more memory",
				image->path, i, (unsigned long long)s->to.v,
				(unsigned long long)s->mem_bytes >> 10,
				(unsigned long long)high >> 20);
		entry_found |= segment_holds(s, plan->entry);
	}
	if (!entry_found)
		return err_say(err, EINVAL, "kernel '%s': entry 0x%llx is in no segment",
			       image->path, (unsigned long long)plan->entry.v);
	if (plan->end.v > high)
		return err_say(
			err, EINVAL,
			"kernel '%s' needs memory up to %llu MiB, the guest has %llu MiB: give "
			"it more",
			image->path, (unsigned long long)plan->end.v >> 20,
			(unsigned long long)high >> 20);
	return 0;
}

int kernel_plan_load(const struct kernel_plan *plan, const struct image *image, struct gmem *mem,
		     struct err *err)
{
	for (size_t i = 0; i < plan->nsegments; i++) {
		const struct kernel_segment *s = &plan->segments[i];
		int rc = image_load(image, s->off, s->file_bytes, mem, s->to, err);

		if (rc < 0)
			return rc;
	}
	return 0;
}

/* Opens taps by /dev/net/tun (Documentation/networking/tuntap.rst), and reads what users write about them. */
#include "vmm/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/own.h"
#include "base/str.h"

#define MAC_TEXT_LEN 17

static int open_queue(const char *ifname, int flags, int *out, struct err *err)
{
	struct ifreq ifr = {.ifr_flags = (short)flags};
	AUTO_FD int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return err_set(err, errno, "open /dev/net/tun");
	memcpy(ifr.ifr_name, ifname, strlen(ifname));
	if (ioctl(fd, TUNSETIFF, &ifr) == 0) {
		*out = TAKE_FD(&fd);
		return 0;
	}
	if (errno == EINVAL)
		return err_say(err, EINVAL,
			       "'%s' is there but made otherwise: ip tuntap add %s mode tap "
			       "vnet_hdr%s",
			       ifname, ifname, flags & IFF_MULTI_QUEUE ? " multi_queue" : "");
	return err_set(err, errno, "open tap '%s'", ifname);
}

int tap_open(const char *ifname, unsigned queues, int *fds, struct err *err)
{
	int flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | (queues > 1 ? IFF_MULTI_QUEUE : 0);
	size_t len = strlen(ifname);

	if (len == 0 || len >= IFNAMSIZ)
		return err_say(err, EINVAL, "'%s' is no name of an interface", ifname);
	for (unsigned i = 0; i < queues; i++) {
		int rc = open_queue(ifname, flags, &fds[i], err);

		while (rc < 0 && i > 0)
			own_close(&fds[--i]);
		if (rc < 0)
			return rc;
	}
	return 0;
}

int tap_parse_fds(const char *text, int *fds, size_t max, unsigned *n)
{
	unsigned found = 0;

	while (found < max) {
		size_t len = strcspn(text, ":");
		char number[12];
		int64_t value;

		if (len >= sizeof(number))
			return -EINVAL;
		memcpy(number, text, len);
		number[len] = '\0';
		if (str_to_i64(number, 0, INT_MAX, &value) < 0)
			return -EINVAL;
		fds[found++] = (int)value;
		if (text[len] == '\0') {
			*n = found;
			return 0;
		}
		text += len + 1;
	}
	return -EINVAL;
}

static int hex_digit(char c)
{
	static const char digits[] = "0123456789abcdef";
	char lower = c >= 'A' && c <= 'F' ? (char)(c - 'A' + 'a') : c;
	const char *at = lower ? strchr(digits, lower) : NULL;

	return at ? (int)(at - digits) : -1;
}

int tap_parse_mac(const char *text, uint8_t mac[6])
{
	uint8_t bytes[6];

	if (strlen(text) != MAC_TEXT_LEN)
		return -EINVAL;
	for (size_t i = 0; i < sizeof(bytes); i++) {
		int high = hex_digit(text[3 * i]);
		int low = hex_digit(text[3 * i + 1]);

		if (high < 0 || low < 0 || (i < 5 && text[3 * i + 2] != ':'))
			return -EINVAL;
		bytes[i] = (uint8_t)(high << 4 | low);
	}
	memcpy(mac, bytes, sizeof(bytes));
	return 0;
}

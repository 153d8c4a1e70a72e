/*
 * The tap behind the device (Documentation/networking/tuntap.rst): what its descriptors must be, and the little that the
 * device tells it. A message socket stands in for a tap where there is none; it is told nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/own.h"
#include "vmm/dev/net.h"

#define TUN_F_ALL (TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN | TUN_F_UFO)

static bool is_message_socket(int fd)
{
	int type = 0;
	socklen_t len = sizeof(type);

	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 &&
	       (type == SOCK_SEQPACKET || type == SOCK_DGRAM);
}

/* `name` is that of the first, empty before it. */
static int check_tap(int fd, bool one_of_many, char name[IFNAMSIZ], struct err *err)
{
	static const unsigned needed = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
	struct ifreq ifr = {0};
	unsigned flags;

	if (ioctl(fd, TUNGETIFF, &ifr) < 0)
		return err_say(err, EINVAL, "descriptor %d is neither a tap nor a message socket",
			       fd);
	flags = (unsigned short)ifr.ifr_flags;
	if ((flags & needed) != needed)
		return err_say(err, EINVAL,
			       "'%s' must be made with IFF_TAP, IFF_NO_PI and IFF_VNET_HDR",
			       ifr.ifr_name);
	if (one_of_many && !(flags & IFF_MULTI_QUEUE))
		return err_say(err, EINVAL, "'%s' is no multi-queue tap: it has one descriptor",
			       ifr.ifr_name);
	if (name[0] && strncmp(name, ifr.ifr_name, IFNAMSIZ) != 0)
		return err_say(err, EINVAL, "'%s' and '%s' are two taps: a device has one", name,
			       ifr.ifr_name);
	memcpy(name, ifr.ifr_name, IFNAMSIZ);
	return 0;
}

/* All offloads are tried, since the guest may ask for any of them; the last call leaves none. */
static int prepare_tap(int fd, const char *name, struct err *err)
{
	int hdr_bytes = NET_HDR_BYTES;
	int little_endian = 1;

	if (ioctl(fd, TUNSETVNETHDRSZ, &hdr_bytes) < 0 ||
	    ioctl(fd, TUNSETVNETLE, &little_endian) < 0 ||
	    ioctl(fd, TUNSETOFFLOAD, TUN_F_ALL) < 0 || ioctl(fd, TUNSETOFFLOAD, 0) < 0)
		return err_set(err, errno, "set up tap '%s'", name);
	return 0;
}

int net_taps_prepare(const struct dev_net_params *p, unsigned max, struct err *err)
{
	char name[IFNAMSIZ] = "";
	int rc = 0;

	if (p->ntaps > max)
		return err_say(err, E2BIG,
			       "%u tap descriptors are too many: the device has %u pair%s of "
			       "queues",
			       p->ntaps, max, max == 1 ? "" : "s");
	for (unsigned i = 0; rc == 0 && i < p->ntaps; i++) {
		int fd = p->tap_fds[i];

		if (!is_message_socket(fd)) {
			rc = check_tap(fd, p->ntaps > 1, name, err);
			if (rc == 0)
				rc = prepare_tap(fd, name, err);
		}
		if (rc == 0) {
			rc = fd_set_nonblock(fd, true);
			if (rc < 0)
				return err_set(err, -rc, "tap");
		}
	}
	return rc;
}

uint16_t net_tap_of(const struct net *net, uint16_t pair)
{
	return (uint16_t)(pair % net->ntaps);
}

static bool tx_blocked(const struct net *net, uint16_t tap)
{
	for (uint16_t i = tap; i < net->enabled; i = (uint16_t)(i + net->ntaps)) {
		if (net->pairs[i].tx_blocked)
			return true;
	}
	return false;
}

/* A frame nobody can take would be reported for ever: a driver need not have made the queue ready. */
static bool takes_frames(const struct net *net, uint16_t pair)
{
	return virtio_queue(net->dev, net_rx_queue(pair))->ready && !net->pairs[pair].rx_starved;
}

/* A hang-up is always reported, so a descriptor with no event wanted is watched for that. */
static uint32_t wanted_events(const struct net *net, uint16_t tap)
{
	uint32_t events = 0;

	if (!virtio_running(net->dev) || net->gone)
		return 0;
	if (takes_frames(net, tap))
		events |= EPOLLIN;
	if (tx_blocked(net, tap))
		events |= EPOLLOUT;
	return events;
}

void net_tap_watch(struct net *net, uint16_t tap)
{
	struct net_tap *t = &net->taps[tap];
	struct epoll_event ev = {.events = wanted_events(net, tap), .data.u32 = tap};

	if (!t->listed || t->events == ev.events)
		return;
	/* It is in the set and the set is ours, so this cannot fail. */
	BUG_ON(epoll_ctl(net->epoll_fd, EPOLL_CTL_MOD, t->fd, &ev) < 0);
	t->events = ev.events;
}

static bool set_queue(const struct net *net, const struct net_tap *t, short flags)
{
	struct ifreq ifr = {.ifr_flags = flags};

	return net->ntaps == 1 || t->is_socket || ioctl(t->fd, TUNSETQUEUE, &ifr) == 0;
}

/* A detached queue polls as an error, hence the order. */
static bool enable_tap(struct net *net, uint16_t tap)
{
	struct net_tap *t = &net->taps[tap];
	struct epoll_event ev = {.events = 0, .data.u32 = tap};

	if (!set_queue(net, t, IFF_ATTACH_QUEUE) && errno != EINVAL) /* EINVAL: it is */
		return false;
	if (epoll_ctl(net->epoll_fd, EPOLL_CTL_ADD, t->fd, &ev) < 0)
		return false;
	t->listed = true;
	t->events = 0;
	net_tap_watch(net, tap);
	return true;
}

static bool disable_tap(struct net *net, uint16_t tap)
{
	struct net_tap *t = &net->taps[tap];

	(void)epoll_ctl(net->epoll_fd, EPOLL_CTL_DEL, t->fd, NULL);
	t->listed = false;
	return set_queue(net, t, IFF_DETACH_QUEUE);
}

bool net_taps_enable(struct net *net)
{
	bool ok = true;

	for (uint16_t i = 0; i < net->ntaps && !net->gone; i++) {
		bool wanted = i < net->enabled;

		if (wanted != net->taps[i].listed)
			ok = (wanted ? enable_tap(net, i) : disable_tap(net, i)) && ok;
	}
	return ok;
}

/* Segmentation offloads mean nothing without checksums, nor ECN without TCP (5.1.3.1): the tap would refuse them. */
static unsigned tun_offloads(uint64_t features)
{
	unsigned tun = TUN_F_CSUM;

	if (!(features & NET_BIT(GUEST_CSUM)))
		return 0;
	if (features & NET_BIT(GUEST_TSO4))
		tun |= TUN_F_TSO4;
	if (features & NET_BIT(GUEST_TSO6))
		tun |= TUN_F_TSO6;
	if ((features & NET_BIT(GUEST_ECN)) && (tun & (TUN_F_TSO4 | TUN_F_TSO6)))
		tun |= TUN_F_TSO_ECN;
	if (features & NET_BIT(GUEST_UFO))
		tun |= TUN_F_UFO;
	return tun;
}

bool net_taps_offload(struct net *net)
{
	unsigned tun = tun_offloads(net->guest_offloads);

	if (!net_link_up(net) || net->taps[0].is_socket || net->told.offloads == tun)
		return true;
	/* One call for all descriptors: they are of one tap. A detached queue could not be asked; the first is attached. */
	net->told.offloads = ~0U;
	if (ioctl(net->taps[0].fd, TUNSETOFFLOAD, tun) < 0)
		return false;
	net->told.offloads = tun;
	return true;
}

void net_taps_detach(struct net *net)
{
	for (uint16_t i = 0; i < net->ntaps; i++) {
		/* Out of the set by hand: our close may not be the last of that open file. */
		(void)epoll_ctl(net->epoll_fd, EPOLL_CTL_DEL, net->taps[i].fd, NULL);
		own_close(&net->taps[i].fd);
	}
	net->ntaps = 0;
	net->gone = false;
}

int net_taps_attach(struct net *net, const struct dev_net_params *p, struct err *err)
{
	bool ok = true;
	int rc;

	net->ntaps = (uint16_t)p->ntaps;
	memset(&net->told, 0xff, sizeof(net->told));
	for (uint16_t i = 0; i < net->ntaps; i++)
		net->taps[i] = (struct net_tap){.fd = p->tap_fds[i],
						.is_socket = is_message_socket(p->tap_fds[i])};
	for (uint16_t i = 0; ok && i < net->ntaps; i++)
		ok = i < net->enabled ? enable_tap(net, i) : disable_tap(net, i);
	if (ok && net_taps_offload(net))
		return 0;
	rc = err_set(err, errno, "attach tap");
	for (uint16_t i = 0; i < net->ntaps; i++) {
		(void)epoll_ctl(net->epoll_fd, EPOLL_CTL_DEL, net->taps[i].fd, NULL);
		net->taps[i].fd = -1; /* still the caller's */
	}
	net->ntaps = 0;
	return rc;
}

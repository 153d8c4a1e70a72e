/* See netlink.h. Values are copied in and out by memcpy, so alignment is nobody's concern. */
#include "base/netlink.h"

#include <errno.h>
#include <linux/netlink.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "base/own.h"

#define NL_ALIGN(n)     (((n) + 3) & ~(size_t)3)
#define NL_HEADER_BYTES sizeof(struct nlmsghdr)
#define NL_ANSWER_BYTES 32768 /* as much as the kernel puts into one datagram of a dump */
#define NL_TIMEOUT_S    10
#define NL_DRAIN_ROUNDS 64

_Static_assert(sizeof(struct nlmsghdr) == 16 && sizeof(struct nlattr) == 4, "RFC 3549, 2.3.2");

/* --- building ---------------------------------------------------------------------------------------------------- */

/* Room for `len` bytes at the end, padding included; NULL and overflow when there is none. */
static uint8_t *extend(struct nl_msg *m, size_t len)
{
	uint8_t *at = m->data + m->len;

	if (m->overflow || len > NL_MSG_BYTES || NL_ALIGN(len) > NL_MSG_BYTES - m->len) {
		m->overflow = true;
		return NULL;
	}
	memset(at, 0, NL_ALIGN(len));
	m->len += NL_ALIGN(len);
	return at;
}

void nl_begin(struct nl_msg *m, uint16_t type, uint16_t flags, const void *body, size_t len)
{
	const struct nlmsghdr header = {.nlmsg_type = type, .nlmsg_flags = flags};
	uint8_t *at;

	m->len = 0;
	m->overflow = false;
	at = extend(m, sizeof(header));
	memcpy(at, &header, sizeof(header));
	at = extend(m, len);
	if (at && len)
		memcpy(at, body, len);
}

void nl_put(struct nl_msg *m, uint16_t type, const void *value, size_t len)
{
	struct nlattr header = {.nla_type = type};
	uint8_t *at = len > NL_MSG_BYTES ? NULL : extend(m, sizeof(header) + len);

	if (!at) {
		m->overflow = true;
		return;
	}
	header.nla_len = (uint16_t)(sizeof(header) + len);
	memcpy(at, &header, sizeof(header));
	if (len)
		memcpy(at + sizeof(header), value, len);
}

void nl_put_u8(struct nl_msg *m, uint16_t type, uint8_t value)
{
	nl_put(m, type, &value, sizeof(value));
}

void nl_put_u32(struct nl_msg *m, uint16_t type, uint32_t value)
{
	nl_put(m, type, &value, sizeof(value));
}

void nl_put_str(struct nl_msg *m, uint16_t type, const char *value)
{
	nl_put(m, type, value, strlen(value) + 1);
}

size_t nl_nest_begin(struct nl_msg *m, uint16_t type)
{
	size_t nest = m->len;

	nl_put(m, type | NLA_F_NESTED, NULL, 0);
	return nest;
}

void nl_nest_end(struct nl_msg *m, size_t nest)
{
	uint16_t len = (uint16_t)(m->len - nest);

	if (!m->overflow)
		memcpy(m->data + nest + offsetof(struct nlattr, nla_len), &len, sizeof(len));
}

/* --- parsing ----------------------------------------------------------------------------------------------------- */

bool nl_parse(const void *data, size_t len, struct nl_attr *table, size_t ntypes)
{
	const uint8_t *at = data;

	memset(table, 0, ntypes * sizeof(*table));
	while (len >= sizeof(struct nlattr)) {
		struct nlattr a;

		memcpy(&a, at, sizeof(a));
		if (a.nla_len < sizeof(a) || a.nla_len > len)
			return false;
		size_t type = a.nla_type & (uint16_t)NLA_TYPE_MASK;
		if (type < ntypes)
			table[type] = (struct nl_attr){at + sizeof(a), a.nla_len - sizeof(a)};
		size_t step = NL_ALIGN((size_t)a.nla_len);
		if (step > len)
			step = len; /* the last one need not be padded */
		at += step;
		len -= step;
	}
	return len == 0;
}

uint32_t nl_u32(const struct nl_attr *a, uint32_t otherwise)
{
	uint32_t value = otherwise;

	if (a->data && a->len == sizeof(value))
		memcpy(&value, a->data, sizeof(value));
	return value;
}

void nl_text(const struct nl_attr *a, char *out, size_t size)
{
	out[0] = '\0';
	if (a->data && a->len && a->len <= size && memchr(a->data, '\0', a->len))
		memcpy(out, a->data, a->len);
}

/*
 * The body of NLMSG_ERROR and NLMSG_DONE: an errno, 0 or more when all went well; in an error `skip` bytes of the request, of
 * which NETLINK_CAP_ACK leaves the header; then attributes.
 */
static int read_status(uint16_t flags, const uint8_t *body, size_t len, size_t skip,
		       struct err *err)
{
	struct nl_attr a[NLMSGERR_ATTR_MAX + 1] = {0};
	char words[256] = "";
	int code;

	if (len < sizeof(code) + skip)
		return err_set(err, EBADMSG, "read the kernel's answer");
	memcpy(&code, body, sizeof(code));
	if (code >= 0)
		return 0;
	skip += sizeof(code);
	if ((flags & NLM_F_ACK_TLVS) && nl_parse(body + skip, len - skip, a, ARRAY_SIZE(a)))
		nl_text(&a[NLMSGERR_ATTR_MSG], words, sizeof(words));
	/* Out of the range of errno it is no kernel of ours that speaks. */
	code = code < -4095 ? EPROTO : -code;
	return words[0] ? err_set(err, code, "the kernel says '%s'", words)
			: err_set(err, code, "the kernel refuses");
}

static int one_message(const struct nlmsghdr *h, const uint8_t *body, size_t len, nl_fn fn,
		       void *arg, bool *done, bool *interrupted, struct err *err)
{
	if (h->nlmsg_flags & NLM_F_DUMP_INTR)
		*interrupted = true;
	switch (h->nlmsg_type) {
	case NLMSG_NOOP:
		return 0;
	case NLMSG_DONE:
		*done = true;
		return read_status(h->nlmsg_flags, body, len, 0, err);
	case NLMSG_ERROR:
		*done = true;
		return read_status(h->nlmsg_flags, body, len, sizeof(struct nlmsghdr), err);
	case NLMSG_OVERRUN:
		return err_set(err, ENOBUFS, "read the kernel's answer");
	default:
		return fn ? fn(arg, h->nlmsg_type, body, len) : 0;
	}
}

int nl_walk(const void *data, size_t len, uint32_t seq, nl_fn fn, void *arg, bool *done,
	    bool *interrupted, struct err *err)
{
	const uint8_t *at = data;

	while (len >= NL_HEADER_BYTES && !*done) {
		struct nlmsghdr h;
		int rc = 0;

		memcpy(&h, at, sizeof(h));
		if (h.nlmsg_len < NL_HEADER_BYTES || h.nlmsg_len > len)
			return err_set(err, EBADMSG, "read the kernel's answer");
		if (h.nlmsg_seq == seq)
			rc = one_message(&h, at + NL_HEADER_BYTES, h.nlmsg_len - NL_HEADER_BYTES,
					 fn, arg, done, interrupted, err);
		if (rc)
			return rc;
		size_t step = NL_ALIGN((size_t)h.nlmsg_len);
		if (step > len)
			step = len;
		at += step;
		len -= step;
	}
	return len && !*done ? err_set(err, EBADMSG, "read the kernel's answer") : 0;
}

/* --- talking to the kernel ----------------------------------------------------------------------------------------- */

void nl_close(struct nl_socket *s)
{
	own_close(&s->fd);
}

int nl_open(struct nl_socket *s, uint32_t groups, struct err *err)
{
	const int type = SOCK_RAW | SOCK_CLOEXEC | (groups ? SOCK_NONBLOCK : 0);
	const struct sockaddr_nl local = {.nl_family = AF_NETLINK, .nl_groups = groups};
	const struct timeval deadline = {.tv_sec = NL_TIMEOUT_S};
	AUTO_FD int fd = socket(AF_NETLINK, type, NETLINK_ROUTE);
	const int on = 1;

	if (fd < 0 || bind(fd, (const struct sockaddr *)(const void *)&local, sizeof(local)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &deadline, sizeof(deadline)) < 0)
		return err_set(err, errno, "open a netlink socket");
	/* Only words: an old kernel gives none. */
	(void)setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof(on));
	(void)setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof(on));
	*s = (struct nl_socket){.fd = TAKE_FD(&fd)};
	return 0;
}

static int send_request(struct nl_socket *s, struct nl_msg *m, uint16_t flags, struct err *err)
{
	const struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
	struct nlmsghdr h;

	if (m->overflow)
		return err_set(err, EMSGSIZE, "build a netlink message");
	memcpy(&h, m->data, sizeof(h));
	h.nlmsg_len = (uint32_t)m->len;
	h.nlmsg_flags = (uint16_t)(h.nlmsg_flags | NLM_F_REQUEST | flags);
	h.nlmsg_seq = ++s->seq;
	memcpy(m->data, &h, sizeof(h));
	if (sendto(s->fd, m->data, m->len, 0, (const struct sockaddr *)(const void *)&kernel,
		   sizeof(kernel)) < 0)
		return err_set(err, errno, "send a netlink message");
	return 0;
}

/* One datagram of the kernel's: its length, or -errno. */
static ssize_t receive(struct nl_socket *s, void *buf, size_t size, struct err *err)
{
	for (;;) {
		struct sockaddr_nl from = {0};
		struct iovec iov = {buf, size};
		struct msghdr msg = {.msg_name = &from,
				     .msg_namelen = sizeof(from),
				     .msg_iov = &iov,
				     .msg_iovlen = 1};
		ssize_t n = recvmsg(s->fd, &msg, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set(err, errno == EAGAIN ? ETIMEDOUT : errno,
				       "read the kernel's answer");
		if (msg.msg_flags & MSG_TRUNC)
			return err_set(err, EMSGSIZE, "read the kernel's answer");
		if (from.nl_pid == 0) /* other processes may send to us, too */
			return n;
	}
}

static int collect(struct nl_socket *s, nl_fn fn, void *arg, struct err *err)
{
	AUTO_FREE uint8_t *buf = malloc(NL_ANSWER_BYTES);
	bool done = false, interrupted = false;
	int rc = 0;

	if (!buf)
		return err_set(err, ENOMEM, "read the kernel's answer");
	while (!done && !rc) {
		ssize_t n = receive(s, buf, NL_ANSWER_BYTES, err);

		if (n < 0)
			return (int)n;
		rc = nl_walk(buf, (size_t)n, s->seq, fn, arg, &done, &interrupted, err);
	}
	if (!rc && interrupted)
		rc = err_set(err, EINTR, "list what changes");
	return rc;
}

int nl_ask(struct nl_socket *s, struct nl_msg *m, nl_fn fn, void *arg, struct err *err)
{
	int rc = send_request(s, m, NLM_F_ACK, err);

	return rc ? rc : collect(s, fn, arg, err);
}

int nl_request(struct nl_socket *s, struct nl_msg *m, struct err *err)
{
	return nl_ask(s, m, NULL, NULL, err);
}

int nl_dump(struct nl_socket *s, struct nl_msg *m, nl_fn fn, void *arg, struct err *err)
{
	int rc = send_request(s, m, NLM_F_DUMP, err);

	return rc ? rc : collect(s, fn, arg, err);
}

bool nl_drain(struct nl_socket *s)
{
	uint8_t byte;

	for (int i = 0; i < NL_DRAIN_ROUNDS; i++) {
		if (recv(s->fd, &byte, sizeof(byte), MSG_DONTWAIT | MSG_TRUNC) >= 0)
			continue;
		if (errno == EAGAIN)
			return true;
		/* ENOBUFS: more happened than was kept, which is all the same to who looks again at everything. */
		if (errno != ENOBUFS && errno != EINTR)
			return false;
	}
	return true;
}

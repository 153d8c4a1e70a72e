/* tun(4) and traffic control by rtnetlink (linux/pkt_cls.h, linux/tc_act/tc_mirred.h). */
#include "runtime/network_tap.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if.h>
#include <linux/if_ether.h>
#include <linux/if_tun.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/tc_act/tc_mirred.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/log.h"
#include "base/net_state.h"

#define TAP_NAME      "nacre%d" /* the kernel puts the number in */
#define INGRESS       TC_H_MAKE(TC_H_INGRESS, 0)
#define FILTER_PRIO   1
#define REDIRECT_NONE (-1)

static int on_link(void *arg, uint16_t type, const void *body, size_t len)
{
	struct net_link link;

	if (type != RTM_NEWLINK || net_parse_link(body, len, &link))
		return 0;
	*(int *)arg = link.index;
	return 0;
}

int tap_make(struct nl_socket *s, int tun_fd, int *index, struct err *err)
{
	const struct ifinfomsg any = {.ifi_family = AF_UNSPEC};
	struct ifreq ifr = {.ifr_name = TAP_NAME};
	struct nl_msg m;
	int found = 0;

	ifr.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
	if (ioctl(tun_fd, TUNSETIFF, &ifr))
		return err_set(err, errno, "make a tap");
	nl_begin(&m, RTM_GETLINK, 0, &any, sizeof(any));
	nl_put_str(&m, IFLA_IFNAME, ifr.ifr_name);
	int rc = nl_ask(s, &m, on_link, &found, err);
	if (!rc && !found)
		rc = err_set(err, ENODEV, "the kernel has no such link");
	if (rc)
		return err_wrap(err, "find tap '%s'", ifr.ifr_name);
	*index = found;
	return 0;
}

int tap_up(struct nl_socket *s, int index, uint32_t mtu, struct err *err)
{
	const struct ifinfomsg link = {.ifi_family = AF_UNSPEC, .ifi_index = index};
	const struct ifinfomsg up = {.ifi_family = AF_UNSPEC,
				     .ifi_index = index,
				     .ifi_flags = IFF_UP,
				     .ifi_change = IFF_UP};
	struct err no_ipv6 = ERR_INIT;
	struct nl_msg m;

	/* Without IPv6 on the host there is nothing to be switched off. */
	nl_begin(&m, RTM_NEWLINK, 0, &link, sizeof(link));
	size_t spec = nl_nest_begin(&m, IFLA_AF_SPEC);
	size_t inet6 = nl_nest_begin(&m, AF_INET6);
	nl_put_u8(&m, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
	nl_nest_end(&m, inet6);
	nl_nest_end(&m, spec);
	int rc = nl_request(s, &m, &no_ipv6);
	if (rc && rc != -EAFNOSUPPORT && rc != -EOPNOTSUPP) {
		*err = no_ipv6;
		return rc;
	}
	nl_begin(&m, RTM_NEWLINK, 0, &up, sizeof(up));
	nl_put_u32(&m, IFLA_MTU, mtu);
	rc = nl_request(s, &m, err);
	return rc ? err_wrap(err, "bring the tap up") : 0;
}

/* --- redirection --------------------------------------------------------------------------------------------------- */

static void begin_tc(struct nl_msg *m, uint16_t type, uint16_t flags, int link, const char *kind)
{
	const bool filter = type == RTM_NEWTFILTER || type == RTM_GETTFILTER;
	const struct tcmsg body = {
		.tcm_family = AF_UNSPEC,
		.tcm_ifindex = link,
		.tcm_parent = filter ? INGRESS : TC_H_INGRESS,
		.tcm_handle = filter ? 0 : INGRESS,
		.tcm_info =
			type == RTM_NEWTFILTER ? TC_H_MAKE(FILTER_PRIO << 16, htons(ETH_P_ALL)) : 0,
	};

	nl_begin(m, type, flags, &body, sizeof(body));
	if (kind)
		nl_put_str(m, TCA_KIND, kind);
}

/* A u32 filter without keys takes every packet; it is there where matchall may not be. */
static int add_filter(struct nl_socket *s, int from, int to, struct err *err)
{
	const struct tc_u32_sel all = {.flags = TC_U32_TERMINAL};
	const struct tc_mirred parms = {
		.action = TC_ACT_STOLEN,
		.eaction = TCA_EGRESS_REDIR,
		.ifindex = (uint32_t)to,
	};
	struct nl_msg m;

	begin_tc(&m, RTM_NEWTFILTER, NLM_F_CREATE | NLM_F_EXCL, from, "u32");
	size_t options = nl_nest_begin(&m, TCA_OPTIONS);
	nl_put(&m, TCA_U32_SEL, &all, sizeof(all));
	size_t actions = nl_nest_begin(&m, TCA_U32_ACT);
	size_t action = nl_nest_begin(&m, 1);
	nl_put_str(&m, TCA_ACT_KIND, "mirred");
	size_t mirred = nl_nest_begin(&m, TCA_ACT_OPTIONS);
	nl_put(&m, TCA_MIRRED_PARMS, &parms, sizeof(parms));
	nl_nest_end(&m, mirred);
	nl_nest_end(&m, action);
	nl_nest_end(&m, actions);
	nl_nest_end(&m, options);
	return nl_request(s, &m, err);
}

static int remove_ingress(struct nl_socket *s, int link, struct err *err)
{
	struct nl_msg m;

	begin_tc(&m, RTM_DELQDISC, 0, link, NULL);
	return nl_request(s, &m, err);
}

static int add_ingress(struct nl_socket *s, int link, struct err *err)
{
	struct nl_msg m;

	begin_tc(&m, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, link, "ingress");
	return nl_request(s, &m, err);
}

/* What is on a link's ingress. */
struct ingress {
	int link;
	bool qdisc;   /* of kind ingress */
	bool foreign; /* something that is no redirection of ours */
	int to;       /* REDIRECT_NONE */
};

static int on_qdisc(void *arg, uint16_t type, const void *body, size_t len)
{
	struct ingress *in = arg;
	struct nl_attr a[TCA_MAX + 1];
	struct tcmsg m;
	char kind[16];

	if (type != RTM_NEWQDISC || len < sizeof(m))
		return 0;
	memcpy(&m, body, sizeof(m));
	if (m.tcm_ifindex != in->link || m.tcm_parent != TC_H_INGRESS ||
	    !nl_parse((const uint8_t *)body + sizeof(m), len - sizeof(m), a, ARRAY_SIZE(a)))
		return 0;
	nl_text(&a[TCA_KIND], kind, sizeof(kind));
	in->qdisc = strcmp(kind, "ingress") == 0;
	in->foreign = !in->qdisc; /* clsact: there may be filters both ways */
	return 0;
}

/* The only action of a filter's options, if that is mirred's redirection; false when it is something else. */
static bool redirection_of(const struct nl_attr *options, int *to)
{
	struct nl_attr u32[TCA_U32_MAX + 1], actions[3], action[TCA_ACT_MAX + 1];
	struct nl_attr mirred[TCA_MIRRED_MAX + 1];
	struct tc_mirred parms;
	char kind[16];

	if (!nl_parse(options->data, options->len, u32, ARRAY_SIZE(u32)) ||
	    !nl_parse(u32[TCA_U32_ACT].data, u32[TCA_U32_ACT].len, actions, ARRAY_SIZE(actions)) ||
	    actions[2].data ||
	    !nl_parse(actions[1].data, actions[1].len, action, ARRAY_SIZE(action)))
		return false;
	nl_text(&action[TCA_ACT_KIND], kind, sizeof(kind));
	if (strcmp(kind, "mirred") != 0 ||
	    !nl_parse(action[TCA_ACT_OPTIONS].data, action[TCA_ACT_OPTIONS].len, mirred,
		      ARRAY_SIZE(mirred)) ||
	    mirred[TCA_MIRRED_PARMS].len < sizeof(parms))
		return false;
	memcpy(&parms, mirred[TCA_MIRRED_PARMS].data, sizeof(parms));
	*to = (int)parms.ifindex;
	return parms.eaction == TCA_EGRESS_REDIR;
}

static int on_filter(void *arg, uint16_t type, const void *body, size_t len)
{
	struct ingress *in = arg;
	struct nl_attr a[TCA_MAX + 1], u32[TCA_U32_MAX + 1];
	struct tcmsg m;
	char kind[16];

	if (type != RTM_NEWTFILTER || len < sizeof(m) ||
	    !nl_parse((const uint8_t *)body + sizeof(m), len - sizeof(m), a, ARRAY_SIZE(a)))
		return 0;
	nl_text(&a[TCA_KIND], kind, sizeof(kind));
	if (strcmp(kind, "u32") != 0) {
		in->foreign = true;
		return 0;
	}
	/* A u32 classifier lists itself and its hash tables, too: those have no selector. */
	if (!a[TCA_OPTIONS].data ||
	    !nl_parse(a[TCA_OPTIONS].data, a[TCA_OPTIONS].len, u32, ARRAY_SIZE(u32)) ||
	    !u32[TCA_U32_SEL].data)
		return 0;
	if (in->to != REDIRECT_NONE || !redirection_of(&a[TCA_OPTIONS], &in->to))
		in->foreign = true;
	return 0;
}

static int read_ingress(struct nl_socket *s, int link, struct ingress *out, struct err *err)
{
	struct nl_msg m;
	int rc = -EINTR;

	for (int i = 0; i < 8 && rc == -EINTR; i++) {
		*out = (struct ingress){.link = link, .to = REDIRECT_NONE};
		begin_tc(&m, RTM_GETQDISC, 0, link, NULL);
		rc = nl_dump(s, &m, on_qdisc, out, err);
		if (rc || !out->qdisc)
			continue;
		begin_tc(&m, RTM_GETTFILTER, 0, link, NULL);
		rc = nl_dump(s, &m, on_filter, out, err);
	}
	return rc ? err_wrap(err, "list traffic control") : 0;
}

int tap_unredirect(struct nl_socket *s, int from, int to, struct err *err)
{
	struct ingress in;
	int rc = read_ingress(s, from, &in, err);

	if (rc || !in.qdisc || in.foreign || (in.to > 0 && in.to != to))
		return rc;
	return remove_ingress(s, from, err);
}

int tap_redirect(struct nl_socket *s, int from, int to, struct err *err)
{
	int rc = tap_unredirect(s, from, to, err);

	if (!rc)
		rc = add_ingress(s, from, err);
	if (rc)
		return err_wrap(err, "redirect packets");
	rc = add_filter(s, from, to, err);
	if (rc) {
		struct err ignored = ERR_INIT;

		(void)err_wrap(err, "redirect packets");
		if (remove_ingress(s, from, &ignored))
			log_warn("%s", ignored.text);
	}
	return rc;
}

/*
 * Taps as users name them: an interface's name, or numbers of descriptors that somebody opened; and an Ethernet address as
 * text. For the command line and for QMP's netdev_add.
 */
#ifndef NACRE_VMM_TAP_H
#define NACRE_VMM_TAP_H

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"

/*
 * Opens `queues` descriptors of the tap `ifname`, which is made, and goes with them, if there is none of that name; one that
 * is there has to have been made with vnet_hdr and, for more than one, multi_queue. Callers own fds[0..queues).
 */
int tap_open(const char *ifname, unsigned queues, int *fds, struct err *err) MUST_CHECK;

/* "3:4:5": *n becomes how many. -EINVAL when one is no number, or there are more than `max`. */
int tap_parse_fds(const char *text, int *fds, size_t max, unsigned *n) MUST_CHECK;

/* "52:54:00:12:34:56". -EINVAL */
int tap_parse_mac(const char *text, uint8_t mac[6]) MUST_CHECK;

#endif

/*
 * The Ethernet address of a spare network interface of the microVM, before it is filled. A Linux guest reads a device's address once, so
 * it knows the device by this one for good: the vmm gives it, and who configures the guest finds the device by it.
 */
#ifndef NACRE_BASE_SPARE_MAC_H
#define NACRE_BASE_SPARE_MAC_H

#include <stdint.h>

#define SPARE_MAC_BYTES 6

/* 02:6e:61:63:72:nth, local as of IEEE 802; nth counts the machine's spare network interfaces from 0. */
static inline void spare_mac(unsigned nth, uint8_t mac[SPARE_MAC_BYTES])
{
	mac[0] = 0x02;
	mac[1] = 'n';
	mac[2] = 'a';
	mac[3] = 'c';
	mac[4] = 'r';
	mac[5] = (uint8_t)nth;
}

#endif

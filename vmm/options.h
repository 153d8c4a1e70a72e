/*
 * The vmm's command line, in QEMU's style: single or double dashes, properties after commas (",," is a comma). Parsing
 * only: nothing is opened, so a table can test it. vmm/machine_config.h turns the result into open descriptors.
 */
#ifndef NACRE_VMM_OPTIONS_H
#define NACRE_VMM_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/compiler.h"
#include "base/err.h"

#define OPTIONS_MAX_DEVICES 64
#define OPTIONS_MAX_DRIVES  64
#define OPTIONS_MAX_NETDEVS 64
#define OPTIONS_MAX_COPIES  128
#define OPTIONS_MAX_QMP     4

enum option_serial_kind { SERIAL_NONE, SERIAL_STDIO, SERIAL_FILE, SERIAL_FD };

enum option_device_kind {
	OPTION_DEVICE_RNG,
	OPTION_DEVICE_BLK,
	OPTION_DEVICE_NET,
	OPTION_DEVICE_FS,
	OPTION_DEVICE_VSOCK
};

/* Strings that were not given are NULL, descriptors -1, numbers 0. */
struct option_drive {
	const char *id;
	const char *file;
	const char *serial;
	const char *format; /* "raw" is all there is */
	int64_t fd;
	bool readonly;
};

struct option_netdev {
	const char *type; /* "tap" is all there is */
	const char *id;
	const char *ifname;
	const char *fds;    /* "3:4" */
	const char *script; /* "no" is all there is, as for the next */
	const char *downscript;
	int64_t fd;
	int64_t queues;
	bool vhost; /* always off */
};

struct option_device {
	enum option_device_kind kind;
	const char *id;
	const char *rng;      /* accepted for QEMU's sake */
	const char *drive;    /* blk */
	const char *netdev;   /* net, as the next three */
	const char *mac_text; /* parsed: `mac` */
	uint8_t mac[6];
	int64_t mtu;
	const char *tag;   /* fs */
	const char *dir;   /* fs */
	const char *path;  /* vsock: listen there */
	int64_t fd;        /* fs: directory */
	int64_t listen_fd; /* vsock */
	int64_t agent_fd;  /* vsock */
	int64_t guest_cid; /* vsock */
	bool readonly;     /* fs */
};

struct options {
	const char *kernel;
	const char *initrd;
	const char *append;
	const char *name;
	uint64_t memory_mib;
	uint64_t vcpus;
	enum option_serial_kind serial;
	const char *serial_path;
	int64_t serial_fd;
	int64_t monitor_fd;
	int64_t events_fd; /* the monitor's former protocol */
	int64_t kvm_fd;
	const char *qmp[OPTIONS_MAX_QMP]; /* sockets to listen at */
	size_t nqmp;
	bool freeze;           /* wait for QMP's cont */
	const char *jail_root; /* NULL: no jail */
	bool no_seccomp;
	bool no_reboot; /* always so: the vmm ends when the guest does */
	bool help;
	bool version;
	struct option_drive drives[OPTIONS_MAX_DRIVES];
	size_t ndrives;
	struct option_netdev netdevs[OPTIONS_MAX_NETDEVS];
	size_t nnetdevs;
	struct option_device devices[OPTIONS_MAX_DEVICES];
	size_t ndevices;

	char *copies[OPTIONS_MAX_COPIES]; /* what the strings with properties point into */
	size_t ncopies;
};

/* `argv` outlives `out`, which options_done frees, on failure too. Errors name the option. */
int options_parse(int argc, char *const *argv, struct options *out, struct err *err) MUST_CHECK;
void options_done(struct options *options);
#define AUTO_OPTIONS CLEANUP(options_done)

/* The drive a blk device names; checked by options_parse to be there. */
const struct option_drive *options_drive(const struct options *options, const char *id);
/* Likewise for a net device. */
const struct option_netdev *options_netdev(const struct options *options, const char *id);

void options_help(FILE *to);

#endif

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
#include "vmm/dev/dev.h"

#define OPTIONS_MAX_DEVICES  64
#define OPTIONS_MAX_DRIVES   64
#define OPTIONS_MAX_NETDEVS  64
#define OPTIONS_MAX_CHARDEVS 16
#define OPTIONS_MAX_OBJECTS  16
#define OPTIONS_MAX_FDS      64
#define OPTIONS_MAX_MONITORS 4
#define OPTIONS_MAX_COPIES   256

enum option_serial_kind { SERIAL_NONE, SERIAL_STDIO, SERIAL_FILE, SERIAL_FD, SERIAL_CHARDEV };

enum option_device_kind {
	OPTION_DEVICE_RNG,
	OPTION_DEVICE_BLK,
	OPTION_DEVICE_NET,
	OPTION_DEVICE_FS,
	OPTION_DEVICE_VSOCK,
	OPTION_DEVICE_CONSOLE
};

/* Strings that were not given are NULL, descriptors -1, numbers 0. */
struct option_drive {
	const char *id;
	const char *file;
	const char *serial;
	const char *format;    /* "raw" is all there is */
	const char *interface; /* "none" is all there is */
	const char *aio;       /* block_aio_parse knows it */
	int64_t fd;
	bool readonly;
	bool direct;
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

struct option_chardev {
	const char *kind; /* "null", "file", "socket", "stdio" */
	const char *id;
	const char *path;
	int64_t fd; /* socket: one that listens */
	bool server, wait, append;
};

struct option_object {
	const char *type; /* "rng-random", "iothread" */
	const char *id;
	const char *filename; /* rng-random: accepted */
};

struct option_fd {
	int64_t fd;
	int64_t set;
	const char *opaque;
};

struct option_device {
	enum option_device_kind kind;
	const char *id;       /* without one, "deviceN" by its place */
	const char *rng;      /* rng: an object */
	const char *iothread; /* an object, for all that have a thread */
	const char *drive;    /* blk */
	const char *serial;   /* blk */
	int64_t num_queues;   /* blk: 0: one */
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
	int64_t max_ports; /* console; 0: DEV_CONSOLE_MAX_PORTS */
};

struct option_port {
	const char *id; /* without one, "virtconsoleN" by its number */
	const char *chardev;
	const char *bus;
	int64_t nr; /* each once */
};

struct options {
	const char *kernel;
	const char *initrd;
	const char *append;
	const char *name;
	const char *uuid;
	const char *log_path; /* NULL: standard error, unless: */
	bool log_stdout;
	const char *pid_path;
	uint64_t memory_mib;
	uint64_t vcpus;
	uint64_t max_vcpus;                /* at least as many */
	uint64_t hotplug_blk, hotplug_net; /* spare slots */
	bool hotplug_given;                /* somebody has counted them */
	bool no_pit;
	enum option_serial_kind serial;
	const char *serial_path; /* SERIAL_FILE; SERIAL_CHARDEV: the chardev */
	int64_t serial_fd;
	int64_t monitor_fd;
	int64_t kvm_fd;
	const char *monitors[OPTIONS_MAX_MONITORS]; /* chardevs that QMP is spoken over */
	size_t nmonitors;
	const char *jail_root; /* NULL: no jail */
	bool freeze;           /* wait for QMP's cont */
	bool reboot;           /* a guest that resets begins anew; else the engine ends */
	bool no_reset;         /* said aloud, so that it is QMP's system_reset's end, too */
	bool daemonize;        /* go on without the terminal */
	bool no_seccomp;       /* the jail has no lists of system calls */
	bool help;
	bool version;
	struct option_drive drives[OPTIONS_MAX_DRIVES];
	size_t ndrives;
	struct option_netdev netdevs[OPTIONS_MAX_NETDEVS];
	size_t nnetdevs;
	struct option_chardev chardevs[OPTIONS_MAX_CHARDEVS];
	size_t nchardevs;
	struct option_object objects[OPTIONS_MAX_OBJECTS];
	size_t nobjects;
	struct option_fd fds[OPTIONS_MAX_FDS];
	size_t nfds;
	struct option_device devices[OPTIONS_MAX_DEVICES];
	size_t ndevices;
	struct option_port ports[DEV_CONSOLE_MAX_PORTS]; /* of the one console device */
	size_t nports;

	char *copies[OPTIONS_MAX_COPIES]; /* what the strings with properties point into */
	size_t ncopies;
};

/* `argv` outlives `out`, which options_done frees, on failure too. Errors name the option. */
int options_parse(int argc, char *const *argv, struct options *out, struct err *err) MUST_CHECK;
void options_done(struct options *options);
#define AUTO_OPTIONS CLEANUP(options_done)

/* What a device names; checked by options_parse to be there. NULL when it is not. */
const struct option_drive *options_drive(const struct options *options, const char *id);
const struct option_netdev *options_netdev(const struct options *options, const char *id);
const struct option_chardev *options_chardev(const struct options *options, const char *id);
const struct option_object *options_object(const struct options *options, const char *type,
					   const char *id);

void options_help(FILE *to);

#endif

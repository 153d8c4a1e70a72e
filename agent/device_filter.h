/*
 * Device rules of a cgroup v2: a BPF_PROG_TYPE_CGROUP_DEVICE program that answers from the list, the last matching rule
 * first (cgroup-v2.rst, "Device controller"). What no rule names is denied.
 */
#ifndef NACRE_AGENT_DEVICE_FILTER_H
#define NACRE_AGENT_DEVICE_FILTER_H

#include <linux/bpf.h>
#include <stddef.h>

#include "base/compiler.h"
#include "base/err.h"
#include "config/oci.h"

/* The program for the spec's rules followed by those that every container gets. *out is the caller's. */
int device_filter_build(const struct oci_device_rule *rules, size_t n, struct bpf_insn **out,
			size_t *len, struct err *err) MUST_CHECK;

/* Builds, loads and attaches to the cgroup directory. */
int device_filter_attach(int cgroup_fd, const struct oci_device_rule *rules, size_t n,
			 struct err *err) MUST_CHECK;

#endif

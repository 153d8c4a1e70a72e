/*
 * Whether /dev/kvm runs Linux guests here, as libexec/nacre/kvm-probe found by trying; its verdict is cached by boot. A KVM that
 * emulates the guest's kernel opens like any other and then boots nothing in any time worth waiting for.
 */
#ifndef NACRE_RUNTIME_KVM_PROBE_H
#define NACRE_RUNTIME_KVM_PROBE_H

#include "base/compiler.h"
#include "base/err.h"

#define KVM_PROBE_WORDS 256

/* Runs the probe, which consults and fills its cache in cache_dir. 0 and its sentence in `words`, or -ENOTSUP. */
int kvm_probe_run(const char *cache_dir, char words[KVM_PROBE_WORDS], struct err *err) MUST_CHECK;

#endif

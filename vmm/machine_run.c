/*
 * A machine's life: start, standing still, reset, plugging, stop. Standing still is one mechanism, a counted hold of all vCPUs
 * and device threads, which pause takes for long and a reset for short.
 *
 * A reset makes a new VM instead of writing hundreds of registers back: the interrupt controllers, the timer, model-specific
 * registers and KVM's own paravirtual clocks, which would go on writing to addresses the old kernel chose, are then
 * as new for certain, and the first boot and the next are the same code.
 */
#include "vmm/machine.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <time.h>

#include "base/clock.h"
#include "vmm/machine_state.h"

#define CONSOLE_DRAIN_MS 500

/* The vCPUs are let go: at the start, or by the first resume of a machine that was paused then. */
static void mark_entry(struct machine *m)
{
	if (m->started && m->holds == 0 && !m->times.entry_us)
		m->times.entry_us = clock_now_us();
}

int machine_start(struct machine *m, struct err *err)
{
	int rc = slots_start(m->slots, err);

	m->started = rc == 0;
	mark_entry(m);
	for (uint32_t i = 0; rc == 0 && i < m->nvcpus; i++)
		rc = vcpu_start(m->vcpus[i], err);
	return rc;
}

void machine_release(struct machine *m)
{
	if (--m->holds > 0)
		return;
	if (m->slots)
		slots_release(m->slots);
	mark_entry(m);
	for (uint32_t i = 0; i < m->nvcpus; i++)
		vcpu_release(m->vcpus[i]);
}

static int await_rest(struct machine *m, struct err *err)
{
	struct timespec deadline;
	int rc = 0;

	(void)clock_gettime(CLOCK_MONOTONIC, &deadline);
	deadline.tv_sec += MACHINE_REST_MS / 1000;
	for (uint32_t i = 0; rc == 0 && i < m->nvcpus; i++)
		rc = vcpu_await_rest(m->vcpus[i], &deadline, err);
	if (rc == 0 && m->slots)
		rc = slots_await_rest(m->slots, &deadline, err);
	return rc;
}

int machine_hold(struct machine *m, struct err *err)
{
	int rc;

	if (m->holds++ > 0)
		return 0;
	for (uint32_t i = 0; i < m->nvcpus; i++)
		vcpu_hold(m->vcpus[i]);
	if (m->slots)
		slots_hold(m->slots);
	rc = await_rest(m, err);
	if (rc < 0)
		machine_release(m);
	return rc;
}

int machine_pause(struct machine *m, struct err *err)
{
	int rc;

	if (m->paused)
		return 0;
	rc = machine_hold(m, err);
	if (rc < 0)
		return err_wrap(err, "pause");
	m->paused = true;
	return 0;
}

int machine_resume(struct machine *m, struct err *err UNUSED)
{
	if (!m->paused)
		return 0;
	m->paused = false;
	machine_release(m);
	return 0;
}

/* A VM with vCPUs, as they were before the first boot; not connected to anything yet. */
struct fresh {
	struct kvm *kvm;
	struct kvm_vcpu *vcpus;
	uint32_t n;
};

static void fresh_done(struct fresh *f)
{
	for (uint32_t i = 0; i < f->n; i++)
		kvm_vcpu_destroy(&f->vcpus[i]);
	free(f->vcpus);
	kvm_close(f->kvm);
}

static int fresh_make(const struct machine *m, struct fresh *f, struct err *err)
{
	AUTO_FD int fd = fcntl(m->kvm->fd, F_DUPFD_CLOEXEC, 0);
	int rc;

	if (fd < 0)
		return err_set(err, errno, "duplicate the KVM descriptor");
	f->vcpus = calloc(m->nvcpus, sizeof(f->vcpus[0]));
	if (!f->vcpus)
		return err_set(err, ENOMEM, "vCPUs");
	rc = kvm_open(fd, &f->kvm, err);
	if (rc < 0)
		return rc;
	(void)TAKE_FD(&fd);
	rc = kvm_create_vm(f->kvm, err);
	if (rc == 0)
		rc = arch_vm_init(f->kvm, m->pit, err);
	while (rc == 0 && f->n < m->nvcpus) {
		rc = kvm_vcpu_create(f->kvm, f->n, &f->vcpus[f->n], err);
		f->n += rc == 0;
	}
	return rc;
}

/* The old VM is gone when this returns, and with it its ends of the eventfds, of which KVM allows one each. */
static void swap_vm(struct machine *m, struct fresh *f)
{
	for (uint32_t i = 0; i < m->nvcpus; i++)
		vcpu_replace(m->vcpus[i], &f->vcpus[i]);
	f->n = 0;
	kvm_close(m->kvm);
	m->kvm = TAKE_PTR(&f->kvm);
}

static void forget_end(struct machine *m)
{
	eventfd_t count;

	atomic_store(&m->ended, false);
	(void)eventfd_read(m->end_fd, &count); /* news of the end that the loop has not seen yet */
}

static int boot_again(struct machine *m, struct err *err)
{
	int rc;

	slots_reset(m->slots);
	if (m->serial)
		serial_reset(m->serial);
	gmem_clear(m->mem);
	forget_end(m);
	rc = machine_connect(m, err);
	if (rc == 0)
		rc = machine_boot(m, err);
	return rc;
}

static int reset_held(struct machine *m, struct err *err)
{
	CLEANUP(fresh_done) struct fresh fresh = {0};
	int rc = fresh_make(m, &fresh, err);

	if (rc < 0)
		return rc;
	machine_disconnect(m);
	swap_vm(m, &fresh);
	rc = boot_again(m, err);
	if (rc < 0)
		machine_end(m, GUEST_INTERNAL_ERROR, "it could not be loaded again for a reset");
	return rc;
}

int machine_reset(struct machine *m, struct err *err)
{
	int rc = machine_hold(m, err);

	if (rc < 0)
		return err_wrap(err, "reset");
	rc = reset_held(m, err);
	machine_release(m);
	if (rc < 0)
		return err_wrap(err, "reset");
	return 0;
}

int machine_plug(struct machine *m, struct machine_device *d, int addr, struct err *err)
{
	return slots_fill(m->slots, d, addr, err);
}

int machine_unplug(struct machine *m, const char *id, struct err *err)
{
	return slots_empty(m->slots, id, err);
}

void machine_stop(struct machine *m)
{
	if (m->stopped)
		return;
	m->stopped = true;
	for (uint32_t i = 0; i < m->nvcpus; i++)
		vcpu_stop(m->vcpus[i]);
	if (m->slots)
		slots_stop(m->slots);
	if (m->serial)
		serial_drain(m->serial, CONSOLE_DRAIN_MS);
}

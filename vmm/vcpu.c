/*
 * The run loop. To stop a vCPU, immediate_exit is set and then a signal sent: the signal ends a KVM_RUN that is under way,
 * immediate_exit one that is about to begin, so no stop is lost (linux, Documentation/virt/kvm/api.rst, 5).
 */
#include "vmm/vcpu.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/ioctl.h>

#define STOP_SIGNAL SIGUSR1

struct vcpu {
	struct kvm_vcpu kvm;
	struct vcpu_env env;
	pthread_t thread;
	bool started;
	atomic_bool stopping;
};

const char *guest_end_name(enum guest_end end)
{
	switch (end) {
	case GUEST_RESET:
		return "reset";
	case GUEST_SHUTDOWN:
		return "shutdown";
	case GUEST_TRIPLE_FAULT:
		return "triple-fault";
	case GUEST_INTERNAL_ERROR:
		return "internal-error";
	}
	return "unknown";
}

int vcpu_create(struct kvm *kvm, uint32_t idx, const struct vcpu_env *env, struct vcpu **out,
		struct err *err)
{
	CLEANUP(own_vcpu_destroy) struct vcpu *v = calloc(1, sizeof(*v));
	int rc;

	if (!v)
		return err_set(err, ENOMEM, "vCPU %u", idx);
	v->kvm.fd = -1;
	v->env = *env;
	rc = kvm_vcpu_create(kvm, idx, &v->kvm, err);
	if (rc < 0)
		return rc;
	*out = TAKE_PTR(&v);
	return 0;
}

struct kvm_vcpu *vcpu_kvm(struct vcpu *v)
{
	return &v->kvm;
}

static void end(struct vcpu *v, enum guest_end how, const char *detail)
{
	v->env.on_end(v->env.arg, how, detail);
}

static void internal_error(struct vcpu *v, const char *what, uint64_t code)
{
	char detail[128];

	(void)snprintf(detail, sizeof(detail), "vCPU %u: %s 0x%llx", v->kvm.idx, what,
		       (unsigned long long)code);
	end(v, GUEST_INTERNAL_ERROR, detail);
}

static void do_pio(struct vcpu *v)
{
	struct kvm_run *run = v->kvm.run;
	uint8_t *data = (uint8_t *)run + run->io.data_offset;

	/* rep ins and outs: `count` units for the same port. */
	for (uint32_t i = 0; i < run->io.count; i++, data += run->io.size) {
		if (run->io.direction == KVM_EXIT_IO_OUT)
			bus_write(v->env.pio, run->io.port, data, run->io.size);
		else
			bus_read(v->env.pio, run->io.port, data, run->io.size);
	}
}

static void do_mmio(struct vcpu *v)
{
	struct kvm_run *run = v->kvm.run;

	if (run->mmio.is_write)
		bus_write(v->env.mmio, run->mmio.phys_addr, run->mmio.data, run->mmio.len);
	else
		bus_read(v->env.mmio, run->mmio.phys_addr, run->mmio.data, run->mmio.len);
}

static void on_system_event(struct vcpu *v)
{
	switch (v->kvm.run->system_event.type) {
	case KVM_SYSTEM_EVENT_SHUTDOWN:
		end(v, GUEST_SHUTDOWN, "");
		break;
	case KVM_SYSTEM_EVENT_RESET:
		end(v, GUEST_RESET, "");
		break;
	default:
		internal_error(v, "system event", v->kvm.run->system_event.type);
	}
}

/* false when the guest has ended. */
static bool handle_exit(struct vcpu *v)
{
	struct kvm_run *run = v->kvm.run;

	switch (run->exit_reason) {
	case KVM_EXIT_IO:
		do_pio(v);
		return true;
	case KVM_EXIT_MMIO:
		do_mmio(v);
		return true;
	case KVM_EXIT_INTR:
	case KVM_EXIT_IRQ_WINDOW_OPEN:
		return true;
	case KVM_EXIT_SHUTDOWN:
		end(v, GUEST_TRIPLE_FAULT, "");
		return false;
	case KVM_EXIT_SYSTEM_EVENT:
		on_system_event(v);
		return false;
	case KVM_EXIT_HLT:
		/* The interrupt chip is in the kernel, which waits for interrupts itself. */
		internal_error(v, "halted for good, exit", run->exit_reason);
		return false;
	case KVM_EXIT_FAIL_ENTRY:
		internal_error(v, "the processor refused the guest's state, reason",
			       run->fail_entry.hardware_entry_failure_reason);
		return false;
	case KVM_EXIT_INTERNAL_ERROR:
		internal_error(v, "KVM internal error, suberror", run->internal.suberror);
		return false;
	default:
		internal_error(v, "unexpected exit", run->exit_reason);
		return false;
	}
}

static void *run_vcpu(void *arg)
{
	struct vcpu *v = arg;
	char name[16]; /* pthread_setname_np's limit */

	(void)snprintf(name, sizeof(name), "CPU %u/KVM", v->kvm.idx);
	(void)pthread_setname_np(pthread_self(), name);
	while (!atomic_load(&v->stopping)) {
		if (ioctl(v->kvm.fd, KVM_RUN, 0) < 0) {
			if (errno == EINTR || errno == EAGAIN)
				continue;
			internal_error(v, "KVM_RUN failed, errno", (uint64_t)errno);
			break;
		}
		/* A reset by a device is seen as `stopping` at the latest after the next exit. */
		if (!handle_exit(v))
			break;
	}
	return NULL;
}

static void on_stop_signal(int signo UNUSED)
{
}

int vcpu_start(struct vcpu *v, struct err *err)
{
	/* No SA_RESTART: the signal is there to interrupt. */
	struct sigaction action = {.sa_handler = on_stop_signal};
	int rc;

	if (sigaction(STOP_SIGNAL, &action, NULL) < 0)
		return err_set(err, errno, "vCPU %u: stop signal", v->kvm.idx);
	rc = pthread_create(&v->thread, NULL, run_vcpu, v);
	if (rc != 0)
		return err_set(err, rc, "start the thread of vCPU %u", v->kvm.idx);
	v->started = true;
	return 0;
}

void vcpu_stop(struct vcpu *v)
{
	if (!v->started)
		return;
	atomic_store(&v->stopping, true);
	__atomic_store_n(&v->kvm.run->immediate_exit, 1, __ATOMIC_SEQ_CST);
	(void)pthread_kill(v->thread, STOP_SIGNAL);
	(void)pthread_join(v->thread, NULL);
	v->started = false;
}

void vcpu_destroy(struct vcpu *v)
{
	if (!v)
		return;
	vcpu_stop(v);
	kvm_vcpu_destroy(&v->kvm);
	free(v);
}

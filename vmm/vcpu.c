/*
 * The run loop. To take a vCPU out of the guest, immediate_exit is set and then a signal sent: the signal ends a KVM_RUN
 * that is under way, immediate_exit one that is about to begin, so no request is lost. The thread looks at requests
 * only when KVM_RUN was interrupted: KVM finishes the access of the exit before that, so a vCPU at rest is between
 * two instructions of its guest (linux, Documentation/virt/kvm/api.rst, 5).
 */
#include "vmm/vcpu.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>

#include "vmm/jail.h"

#define KICK_SIGNAL SIGUSR1

struct vcpu {
	struct kvm_vcpu kvm;
	struct vcpu_env env;
	pthread_t thread;
	bool started;

	pthread_mutex_t lock; /* guards what follows; never held in the guest or in a device */
	pthread_cond_t changed;
	uint32_t holds;
	pid_t tid; /* 0: the thread has not begun */
	bool stopping;
	bool ended;   /* the guest ended here: nothing to run until a replace */
	bool resting; /* the thread is outside the guest and its devices, and stays so */
};

int vcpu_create(struct kvm *kvm, uint32_t idx, const struct vcpu_env *env, struct vcpu **out,
		struct err *err)
{
	CLEANUP(own_vcpu_destroy) struct vcpu *v = calloc(1, sizeof(*v));
	int rc;

	if (!v)
		return err_set(err, ENOMEM, "vCPU %u", idx);
	v->kvm.fd = -1;
	v->env = *env;
	v->resting = true;
	(void)pthread_mutex_init(&v->lock, NULL); /* glibc: defaults cannot fail */
	(void)pthread_cond_init(&v->changed, NULL);
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
			address_space_write(v->env.ports, run->io.port, data, run->io.size);
		else
			address_space_read(v->env.ports, run->io.port, data, run->io.size);
	}
}

static void do_mmio(struct vcpu *v)
{
	struct kvm_run *run = v->kvm.run;

	if (run->mmio.is_write)
		address_space_write(v->env.memory, run->mmio.phys_addr, run->mmio.data,
				    run->mmio.len);
	else
		address_space_read(v->env.memory, run->mmio.phys_addr, run->mmio.data,
				   run->mmio.len);
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

/* Rests while somebody holds the vCPU or its guest has ended; false when it is to stop. */
static bool await_turn(struct vcpu *v)
{
	bool go;

	(void)pthread_mutex_lock(&v->lock);
	while (!v->stopping && (v->holds > 0 || v->ended)) {
		v->resting = true;
		(void)pthread_cond_broadcast(&v->changed);
		(void)pthread_cond_wait(&v->changed, &v->lock);
	}
	go = !v->stopping;
	v->resting = !go;
	(void)pthread_mutex_unlock(&v->lock);
	return go;
}

static void set_ended(struct vcpu *v)
{
	(void)pthread_mutex_lock(&v->lock);
	v->ended = true;
	(void)pthread_mutex_unlock(&v->lock);
}

/* Until KVM_RUN is interrupted; false when the guest has ended. */
static bool run_guest(struct vcpu *v)
{
	while (ioctl(v->kvm.fd, KVM_RUN, 0) == 0) {
		if (!handle_exit(v))
			return false;
	}
	if (errno == EINTR || errno == EAGAIN)
		return true;
	internal_error(v, "KVM_RUN failed, errno", (uint64_t)errno);
	return false;
}

static void set_tid(struct vcpu *v)
{
	(void)pthread_mutex_lock(&v->lock);
	v->tid = gettid();
	(void)pthread_cond_broadcast(&v->changed);
	(void)pthread_mutex_unlock(&v->lock);
}

static void *run_vcpu(void *arg)
{
	struct vcpu *v = arg;
	char name[16]; /* pthread_setname_np's limit */

	(void)snprintf(name, sizeof(name), "CPU %u/KVM", v->kvm.idx);
	(void)pthread_setname_np(pthread_self(), name);
	set_tid(v);
	jail_thread(THREAD_VCPU);
	while (await_turn(v)) {
		if (!run_guest(v))
			set_ended(v);
	}
	return NULL;
}

static void on_kick_signal(int signo UNUSED)
{
}

int vcpu_start(struct vcpu *v, struct err *err)
{
	/* No SA_RESTART: the signal is there to interrupt. */
	struct sigaction action = {.sa_handler = on_kick_signal};
	int rc;

	if (sigaction(KICK_SIGNAL, &action, NULL) < 0)
		return err_set(err, errno, "vCPU %u: kick signal", v->kvm.idx);
	v->resting = false;
	rc = pthread_create(&v->thread, NULL, run_vcpu, v);
	if (rc != 0) {
		v->resting = true;
		return err_set(err, rc, "start the thread of vCPU %u", v->kvm.idx);
	}
	v->started = true;
	return 0;
}

/* The lock orders this against a release, which takes immediate_exit back. */
static void kick_locked(struct vcpu *v)
{
	int rc;

	__atomic_store_n(&v->kvm.run->immediate_exit, 1, __ATOMIC_SEQ_CST);
	rc = v->started ? pthread_kill(v->thread, KICK_SIGNAL) : 0;
	BUG_ON(rc != 0 && rc != ESRCH); /* a thread of ours; ended, it is at rest */
}

void vcpu_hold(struct vcpu *v)
{
	(void)pthread_mutex_lock(&v->lock);
	if (v->holds++ == 0)
		kick_locked(v);
	(void)pthread_mutex_unlock(&v->lock);
}

int vcpu_await_rest(struct vcpu *v, const struct timespec *deadline, struct err *err)
{
	int rc = 0;

	(void)pthread_mutex_lock(&v->lock);
	BUG_ON(v->holds == 0);
	while (rc == 0 && !v->resting)
		rc = pthread_cond_clockwait(&v->changed, &v->lock, CLOCK_MONOTONIC, deadline);
	(void)pthread_mutex_unlock(&v->lock);
	if (rc != 0)
		return err_say(err, rc, "vCPU %u did not come out of a device in time", v->kvm.idx);
	return 0;
}

void vcpu_release(struct vcpu *v)
{
	(void)pthread_mutex_lock(&v->lock);
	BUG_ON(v->holds == 0);
	if (--v->holds == 0) {
		if (!v->stopping)
			__atomic_store_n(&v->kvm.run->immediate_exit, 0, __ATOMIC_SEQ_CST);
		(void)pthread_cond_broadcast(&v->changed);
	}
	(void)pthread_mutex_unlock(&v->lock);
}

void vcpu_replace(struct vcpu *v, struct kvm_vcpu *with)
{
	(void)pthread_mutex_lock(&v->lock);
	BUG_ON(v->holds == 0 || !v->resting);
	kvm_vcpu_destroy(&v->kvm);
	v->kvm = *with;
	*with = (struct kvm_vcpu){.fd = -1};
	v->ended = false;
	(void)pthread_mutex_unlock(&v->lock);
}

pid_t vcpu_tid(struct vcpu *v)
{
	pid_t tid;

	if (!v->started)
		return 0;
	(void)pthread_mutex_lock(&v->lock);
	while (v->tid == 0)
		(void)pthread_cond_wait(&v->changed, &v->lock);
	tid = v->tid;
	(void)pthread_mutex_unlock(&v->lock);
	return tid;
}

void vcpu_stop(struct vcpu *v)
{
	if (!v->started)
		return;
	(void)pthread_mutex_lock(&v->lock);
	v->stopping = true;
	kick_locked(v);
	(void)pthread_cond_broadcast(&v->changed);
	(void)pthread_mutex_unlock(&v->lock);
	(void)pthread_join(v->thread, NULL);
	v->started = false;
}

void vcpu_destroy(struct vcpu *v)
{
	if (!v)
		return;
	vcpu_stop(v);
	kvm_vcpu_destroy(&v->kvm);
	(void)pthread_cond_destroy(&v->changed);
	(void)pthread_mutex_destroy(&v->lock);
	free(v);
}

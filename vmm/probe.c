/* A guest of eight instructions in a loop, a timer that ends it, and what follows from how far it came. */
#include "vmm/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/own.h"
#include "vmm/arch/arch.h"
#include "vmm/gmem.h"
#include "vmm/kvm.h"

#define RAM_BYTES 0x200000ULL

/*
 * The guest is looked at every few milliseconds of processor time and its best stretch counts: the first ones go into page
 * faults, and where the host is itself emulated, into its translation. A slow guest gets the whole budget.
 */
#define TICK_MS        5
#define STRETCH_CPU_US 3000
#define BUDGET_CPU_US  100000
#define LIMIT_US       500000
#define CHILD_LIMIT_MS 5000
#define SURE_KIPS      (5ULL * PROBE_MIN_KIPS)

struct trial {
	struct kvm *kvm;
	struct gmem *mem;
	struct kvm_vcpu vcpu;
	struct arch_probe guest;
};

static uint64_t clock_us(clockid_t clock)
{
	struct timespec ts;

	(void)clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static void on_tick(int signo UNUSED)
{
}

/* The timer goes on ticking: a tick that falls between two KVM_RUNs is not the last. */
static int set_ticks(bool on, struct err *err)
{
	struct sigaction action = {.sa_handler = on_tick};
	struct itimerval ticks = {
		.it_value.tv_usec = on ? TICK_MS * 1000 : 0,
		.it_interval.tv_usec = on ? TICK_MS * 1000 : 0,
	};

	if (on && sigaction(SIGALRM, &action, NULL) < 0)
		return err_set(err, errno, "SIGALRM");
	if (setitimer(ITIMER_REAL, &ticks, NULL) < 0)
		return err_set(err, errno, "timer");
	return 0;
}

static uint64_t kips_of(const struct probe_facts *f)
{
	return f->cpu_us == 0 ? 0 : f->insns * 1000 / f->cpu_us;
}

static uint64_t insns_so_far(const struct trial *t)
{
	uint32_t loops = 0;

	BUG_ON(!gmem_read(t->mem, t->guest.counter, &loops, sizeof(loops)));
	return (uint64_t)loops * t->guest.insns_per_count;
}

/* Until the next tick. */
static int run_stretch(struct trial *t, struct err *err)
{
	if (ioctl(t->vcpu.fd, KVM_RUN, 0) == 0)
		return err_say(err, EIO, "a guest that only counts left with KVM exit reason %u",
			       t->vcpu.run->exit_reason);
	if (errno != EINTR && errno != EAGAIN)
		return err_set(err, errno, "run a guest");
	return 0;
}

static int run_guest(struct trial *t, struct probe_facts *best)
{
	uint64_t wall_start = clock_us(CLOCK_MONOTONIC);
	uint64_t cpu_start = clock_us(CLOCK_THREAD_CPUTIME_ID);
	uint64_t cpu_last = cpu_start;
	uint64_t insns_last = 0;

	do {
		uint64_t cpu, insns;
		int rc = run_stretch(t, &best->failure);

		if (rc < 0)
			return rc;
		cpu = clock_us(CLOCK_THREAD_CPUTIME_ID);
		insns = insns_so_far(t);
		if (cpu - cpu_last >= STRETCH_CPU_US) {
			struct probe_facts f = {.insns = insns - insns_last,
						.cpu_us = cpu - cpu_last};

			if (best->cpu_us == 0 || kips_of(&f) > kips_of(best))
				*best = f;
			cpu_last = cpu;
			insns_last = insns;
		}
	} while (kips_of(best) < SURE_KIPS && cpu_last - cpu_start < BUDGET_CPU_US &&
		 clock_us(CLOCK_MONOTONIC) - wall_start < LIMIT_US);
	return 0;
}

static int map_memory(struct trial *t, struct err *err)
{
	void *host;
	struct gmem_range range = gmem_region(t->mem, 0, &host);

	return kvm_set_memory(t->kvm, 0, range, host, err);
}

static int prepare(struct trial *t, struct err *err)
{
	const struct gmem_range ram = {.at = GPA(0), .len_bytes = RAM_BYTES};
	struct arch_entry entry;
	int rc = kvm_create_vm(t->kvm, err);

	if (rc == 0)
		rc = gmem_create(&ram, 1, &t->mem, err);
	if (rc == 0)
		rc = map_memory(t, err);
	if (rc == 0)
		rc = arch_vm_init(t->kvm, false, err);
	if (rc == 0)
		rc = kvm_vcpu_create(t->kvm, 0, &t->vcpu, err);
	if (rc < 0)
		return rc;
	arch_probe_load(t->mem, &entry, &t->guest);
	return arch_vcpu_init(t->kvm, &t->vcpu, 1, &entry, err);
}

static int measure(struct trial *t, struct probe_facts *out)
{
	int rc = prepare(t, &out->failure);

	if (rc == 0)
		rc = set_ticks(true, &out->failure);
	if (rc == 0)
		rc = run_guest(t, out);
	if (rc < 0)
		return rc;
	if (out->cpu_us == 0)
		return err_say(&out->failure, EAGAIN,
			       "no processor time to try it: the host is too busy");
	return set_ticks(false, &out->failure);
}

static void measure_once(struct probe_facts *out)
{
	struct trial t = {.vcpu = {.fd = -1}};

	*out = (struct probe_facts){0};
	if (kvm_open(-1, &t.kvm, &out->failure) < 0)
		out->absent = out->failure.code == ENOENT;
	else
		(void)measure(&t, out);
	kvm_vcpu_destroy(&t.vcpu);
	kvm_close(t.kvm);
	gmem_destroy(t.mem);
}

/*
 * In a child: where KVM_RUN does not come back, whatever the timer says, killing the process still ends it, so that the probe
 * takes a bounded time on every host.
 */
static void measure_bounded(struct probe_facts *out)
{
	AUTO_FD int ours = -1;
	AUTO_FD int theirs = -1;
	struct pollfd answer;
	int pipe_fds[2], status;
	pid_t child;

	*out = (struct probe_facts){0};
	if (pipe2(pipe_fds, O_CLOEXEC) < 0) {
		(void)err_set(&out->failure, errno, "make a pipe for the trial");
		return;
	}
	ours = pipe_fds[0];
	theirs = pipe_fds[1];
	child = fork();
	if (child < 0) {
		(void)err_set(&out->failure, errno, "fork for the trial");
		return;
	}
	if (child == 0) {
		measure_once(out);
		_exit(fd_write_full(theirs, out, sizeof(*out)) == 0 ? 0 : 1);
	}
	own_close(&theirs);
	answer = (struct pollfd){.fd = ours, .events = POLLIN};
	while (poll(&answer, 1, CHILD_LIMIT_MS) < 0 && errno == EINTR)
		;
	if (!(answer.revents & POLLIN) ||
	    fd_read_full(ours, out, sizeof(*out)) != (ssize_t)sizeof(*out))
		(void)err_say(&out->failure, ETIMEDOUT,
			      "a guest that only counts did not come back within %d ms",
			      CHILD_LIMIT_MS);
	(void)kill(child, SIGKILL);
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
}

/* A host that was just resumed may give a guest no time at all for a moment: what looks slow gets a second chance. */
void probe_measure(struct probe_facts *out)
{
	struct probe_facts second;

	measure_bounded(out);
	if (out->failure.code == 0 && kips_of(out) >= PROBE_MIN_KIPS)
		return;
	if (out->failure.code != 0 && out->failure.code != ETIMEDOUT)
		return;
	measure_bounded(&second);
	if (second.failure.code == 0 && kips_of(&second) >= kips_of(out))
		*out = second;
}

void probe_judge(const struct probe_facts *f, struct probe_verdict *out)
{
	uint64_t kips = kips_of(f);

	*out = (struct probe_verdict){0};
	if (f->failure.code != 0) {
		(void)snprintf(out->text, sizeof(out->text), "%s%s",
			       f->absent ? "" : "kvm: not usable: ", f->failure.text);
		return;
	}
	out->kips = kips;
	out->usable = kips >= PROBE_MIN_KIPS;
	if (out->usable)
		(void)snprintf(out->text, sizeof(out->text),
			       "kvm: usable (ring 0 runs at %llu MIPS)",
			       (unsigned long long)kips / 1000);
	else
		(void)snprintf(out->text, sizeof(out->text),
			       "kvm: not usable: ring 0 is emulated at %llu.%llu MIPS, no Linux "
			       "guest gets through its boot: a host with VMX or SVM is needed",
			       (unsigned long long)kips / 1000,
			       (unsigned long long)kips % 1000 / 100);
}

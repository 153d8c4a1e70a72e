/*
 * What a machine is made of, shared by machine.c (its making and its end) and machine_run.c (its life). Nobody else looks
 * inside.
 */
#ifndef NACRE_VMM_MACHINE_STATE_H
#define NACRE_VMM_MACHINE_STATE_H

#include <stdatomic.h>
#include <stdbool.h>

#include "vmm/arch/arch.h"
#include "vmm/address_space.h"
#include "vmm/gmem.h"
#include "vmm/image.h"
#include "vmm/job.h"
#include "vmm/kvm.h"
#include "vmm/kvm_listener.h"
#include "vmm/machine.h"
#include "vmm/serial.h"
#include "vmm/slots.h"
#include "vmm/vcpu.h"

struct machine {
	struct loop *loop;
	struct machine_events events;
	struct machine_times times;
	struct kvm *kvm;                  /* replaced by a reset, as the next */
	struct kvm_listener kvm_listener; /* listens from connect to disconnect */
	bool pit;                         /* each VM has one */
	struct gmem *mem;
	struct region ram[GMEM_MAX_REGIONS];
	struct address_space memory, ports;
	struct serial *serial; /* NULL: the guest has no console */
	struct region serial_region;
	int serial_irq_fd;
	struct arch_platform *platform;
	struct slots *slots;
	struct vcpu **vcpus;
	uint32_t nvcpus;

	/* What a boot needs, also the next one: the files stay open, since a jailed vmm can open nothing. */
	struct image kernel;
	struct image initrd; /* fd -1: none */
	struct job *
		loading; /* reads both into memory while the VM comes into being; NULL afterwards */
	bool images_loaded; /* memory is as it left it */
	char *cmdline;

	uint32_t holds; /* the guest stands still while there are any; one of them is `paused` */
	bool started;   /* there is a thread for each vCPU */
	bool paused;
	bool stopped; /* for good, and the console is drained */

	/* How the guest ended: the first vCPU to say so wins, fills the two fields and wakes the loop. */
	atomic_bool ended;
	enum guest_end end;
	char end_detail[128];
	int end_fd;
	struct loop_source *end_source;
};

/*
 * Memory, console and slots are those of m->kvm from now on, until disconnect and the closing of m->kvm, which must follow it.
 * On failure some are; disconnect does for that, too.
 */
int machine_connect(struct machine *m, struct err *err) MUST_CHECK;
void machine_disconnect(struct machine *m);

/* All stands still from success on, until as many releases. Holds nest, pause is one of them. */
int machine_hold(struct machine *m, struct err *err) MUST_CHECK;
void machine_release(struct machine *m);

/* Kernel, initramfs and command line to fresh memory, and the registers of fresh vCPUs. */
int machine_boot(struct machine *m, struct err *err) MUST_CHECK;

/* on_end follows in the loop, with this reason unless the guest has ended already. Any thread. */
void machine_end(struct machine *m, enum guest_end end, const char *detail);

#endif

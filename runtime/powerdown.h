/*
 * Somebody has pressed the microVM's power button (QMP's system_powerdown). What runs is asked first, as by `podman stop` or a
 * kubelet: SIGTERM to every container's init, and the guest ends when they have, or after the grace.
 */
#ifndef NACRE_RUNTIME_POWERDOWN_H
#define NACRE_RUNTIME_POWERDOWN_H

#define POWERDOWN_GRACE_MS 10000

struct sandbox;

/* Once; pressing again changes nothing. */
void powerdown_begin(struct sandbox *s);
/* A process has stopped: maybe it was the last one. */
void powerdown_look(struct sandbox *s);

#endif

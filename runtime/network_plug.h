/* Filling and emptying the spare network slots of a running vmm, by QMP. */
#ifndef NACRE_RUNTIME_NETWORK_PLUG_H
#define NACRE_RUNTIME_NETWORK_PLUG_H

#include "runtime/network.h"
#include "runtime/qmp_client.h"

/* As network_ops asks for it: fn once, possibly before the return. The nic is lent for the call. */
void network_plug(struct qmp_client *qmp, const struct network_nic *nic, network_fn fn, void *arg);
void network_unplug(struct qmp_client *qmp, const struct network_nic *nic, network_fn fn,
		    void *arg);

#endif

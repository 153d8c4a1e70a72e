/* Methods that the table in service.c names: each answers its request, now or later. */
#ifndef NACRE_AGENT_SERVICE_MACHINE_H
#define NACRE_AGENT_SERVICE_MACHINE_H

#include "agent-proto/agent.pb-c.h"
#include "agent/agent_internal.h"

void service_hello(struct agent *agent, struct ttrpc_request *req,
		   const Nacre__Agent__V1__HelloRequest *in);
void service_configure_network(struct agent *agent, struct ttrpc_request *req,
			       const Nacre__Agent__V1__ConfigureNetworkRequest *in);
void service_online_vcpus(struct agent *agent, struct ttrpc_request *req,
			  const Nacre__Agent__V1__OnlineVcpusRequest *in);
void service_goodbye(struct agent *agent, struct ttrpc_request *req,
		     const Nacre__Agent__V1__Empty *in);

#endif

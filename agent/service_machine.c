/* The service's methods that are about the guest as a whole: greeting, network, processors, goodbye. */
#include <errno.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/guest_setup.h"
#include "agent/service_machine.h"
#include "agent/vcpus.h"
#include "base/log.h"

static int greet(struct agent *agent, const Nacre__Agent__V1__HelloRequest *in, struct err *err)
{
	int ret;

	if (!agent->is_guest)
		return 0;
	ret = guest_set_clock(in->realtime_ns, err);
	if (ret == 0)
		ret = guest_add_entropy(in->random_seed.data, in->random_seed.len, err);
	if (ret < 0)
		return ret;
	if (in->hostname[0] && sethostname(in->hostname, strlen(in->hostname)) < 0)
		return err_set(err, errno, "set the guest's host name");
	if (!in->shared_tag[0] || agent->containers.shared_dir)
		return 0;
	ret = guest_mount_shared(in->shared_tag, err);
	if (ret == 0)
		agent->containers.shared_dir = GUEST_SHARED_DIR;
	return ret;
}

void service_hello(struct agent *agent, struct ttrpc_request *req,
		   const Nacre__Agent__V1__HelloRequest *in)
{
	Nacre__Agent__V1__HelloResponse out = NACRE__AGENT__V1__HELLO_RESPONSE__INIT;
	char version[] = NACRE_VERSION;
	struct utsname uts;
	struct err err = ERR_INIT;

	if (in->protocol_version != AGENT_PROTOCOL_VERSION) {
		ttrpc_fail(
			req, TTRPC_FAILED_PRECONDITION,
			"the agent speaks protocol version %d, the monitor %u: install both from "
			"the same release",
			AGENT_PROTOCOL_VERSION, in->protocol_version);
		return;
	}
	if (greet(agent, in, &err) < 0) {
		ttrpc_fail_err(req, &err);
		return;
	}
	(void)uname(&uts);
	out.protocol_version = AGENT_PROTOCOL_VERSION;
	out.agent_version = version;
	out.kernel_release = uts.release;
	out.init_ns = agent->init_ns;
	out.ready_ns = agent->ready_ns;
	out.now_ns = agent_boot_ns();
	reply(req, &out.base);
}

void service_configure_network(struct agent *agent, struct ttrpc_request *req,
			       const Nacre__Agent__V1__ConfigureNetworkRequest *in)
{
	struct err err = ERR_INIT;

	if (!agent->is_guest)
		ttrpc_fail(req, TTRPC_FAILED_PRECONDITION, "the agent does not own this network");
	else if (network_configure(&agent->network, in, &err) < 0)
		ttrpc_fail_err(req, &err);
	else
		reply_empty(req);
}

void service_online_vcpus(struct agent *agent, struct ttrpc_request *req,
			  const Nacre__Agent__V1__OnlineVcpusRequest *in)
{
	struct err err = ERR_INIT;

	if (!agent->is_guest)
		ttrpc_fail(req, TTRPC_FAILED_PRECONDITION, "the machine is not the agent's");
	else if (vcpus_online(VCPUS_DIR, in->count, &err) < 0)
		ttrpc_fail_err(req, &err);
	else
		reply_empty(req);
}

static void on_all_removed(void *arg, const struct err *why)
{
	struct call *call = arg;
	struct agent *agent = call->agent;

	if (why->code)
		log_warn("goodbye: %s", why->text);
	sync();
	if (agent->is_guest)
		(void)umount2(GUEST_SHARED_DIR, MNT_DETACH);
	/* The host hangs up when it has read the answer, which ends the loop; this is for one that does not. */
	if (loop_arm(agent->goodbye, GOODBYE_MS) < 0)
		loop_stop(agent->loop);
	reply_empty(call->req);
	call_destroy(call);
}

void service_goodbye(struct agent *agent, struct ttrpc_request *req,
		     const Nacre__Agent__V1__Empty *in)
{
	struct call *call = call_create(agent, req, "", "");

	(void)in;
	if (call)
		containers_remove_all(&agent->containers, on_all_removed, call);
}

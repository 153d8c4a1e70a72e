/* Kernel parameters (linux, Documentation/admin-guide/kernel-parameters.txt). */
#include "vmm/cmdline.h"

#include <errno.h>

#include "base/str.h"

static int add_console(struct strbuf *b, const char *console)
{
	if (console)
		return strbuf_addf(b, "console=%s ", console);
	/* Nobody listens: not even probing the port saves exits. */
	return strbuf_addf(b, "8250.nr_uarts=0 ");
}

int cmdline_build(const struct cmdline_params *p, char **out, struct err *err)
{
	AUTO_STRBUF struct strbuf b = STRBUF_INIT;
	int rc = add_console(&b, p->console);

	/*
	 * A panic ends the machine at once, and by the reset line: a triple fault is then always a crash. Forced: interrupt
	 * controllers need no quieting, they end with the machine or are made anew. A kernel that
	 * finds one vCPU would patch eight thousand lock prefixes away, and back when the next one comes on line.
	 */
	if (rc == 0)
		rc = strbuf_addf(&b, "reboot=k,force panic=-1 noreplace-smp");
	if (rc == 0 && p->vcpus > 0)
		rc = strbuf_addf(&b, " maxcpus=%u", p->vcpus);
	for (size_t i = 0; rc == 0 && i < p->nslots; i++)
		rc = strbuf_addf(&b, " virtio_mmio.device=%lluK@0x%llx:%u",
				 (unsigned long long)p->slots[i].window_bytes >> 10,
				 (unsigned long long)p->slots[i].base.v, p->slots[i].irq);
	if (rc == 0 && p->user && *p->user)
		rc = strbuf_addf(&b, " %s", p->user);
	if (rc < 0)
		return err_set(err, -rc, "kernel command line");
	*out = TAKE_PTR(&b.data);
	return 0;
}

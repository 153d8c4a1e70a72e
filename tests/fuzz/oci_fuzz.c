/*
 * config.json and the plans made from it: bytes from outside that reach the parser of host and guest alike. Behind a P it is the
 * "process" object of an exec, behind an R the "linux.resources" object of an update, laid over itself.
 */
#include <stdint.h>
#include <stdlib.h>

#include "config/oci.h"
#include "config/plan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void parse_process(const char *text, size_t len)
{
	CLEANUP(own_oci_process_destroy) struct oci_process *process = NULL;
	struct err err = ERR_INIT;

	BUG_ON(!oci_process_parse(text, len, "process", &process, &err) != !err.code);
}

static void parse_resources(const char *text, size_t len)
{
	CLEANUP(own_oci_resources_destroy) struct oci_resources *resources = NULL;
	CLEANUP(own_oci_resources_destroy) struct oci_resources *merged = NULL;
	struct err err = ERR_INIT;

	if (oci_resources_parse(text, len, "resources", &resources, &err) == 0)
		BUG_ON(oci_resources_merge(resources, resources, &merged, &err) < 0);
}

static void parse_spec(const char *text, size_t len)
{
	CLEANUP(own_container_plan_destroy) struct container_plan *plan = NULL;
	CLEANUP(own_nacre_config_destroy) struct nacre_config *config = NULL;
	CLEANUP(own_oci_spec_destroy) struct oci_spec *spec = NULL;
	CLEANUP(own_vm_config_destroy) struct vm_config *vm = NULL;
	struct err err = ERR_INIT;

	if (oci_parse(text, len, "config.json", &spec, &err) < 0)
		return;
	if (oci_check(spec, &err) < 0)
		return;
	if (nacre_config_load("/nonexistent", &config, &err) == 0 &&
	    vm_plan(config, spec, &vm, &err) < 0)
		return;
	if (container_plan_make("c", "/bundle", text, len, spec, &plan, &err) < 0)
		return;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;

	if (size > 0 && text[0] == 'P')
		parse_process(text + 1, size - 1);
	else if (size > 0 && text[0] == 'R')
		parse_resources(text + 1, size - 1);
	else
		parse_spec(text, size);
	return 0;
}

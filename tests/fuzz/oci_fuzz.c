/* config.json and the plans made from it: bytes from outside that reach the parser of host and guest alike. */
#include <stdint.h>
#include <stdlib.h>

#include "config/oci.h"
#include "config/plan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(own_container_plan_destroy) struct container_plan *plan = NULL;
	CLEANUP(own_nacre_config_destroy) struct nacre_config *config = NULL;
	CLEANUP(own_oci_spec_destroy) struct oci_spec *spec = NULL;
	CLEANUP(own_vm_config_destroy) struct vm_config *vm = NULL;
	struct err err = ERR_INIT;

	if (oci_parse((const char *)data, size, "config.json", &spec, &err) < 0)
		return 0;
	if (oci_check(spec, &err) < 0)
		return 0;
	if (nacre_config_load("/nonexistent", &config, &err) == 0 &&
	    vm_plan(config, spec, &vm, &err) < 0)
		return 0;
	if (container_plan_make("c", "/bundle", (const char *)data, size, spec, &plan, &err) < 0)
		return 0;
	return 0;
}

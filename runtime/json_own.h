/* AUTO_JSON: an owner for json-c's objects. */
#ifndef NACRE_RUNTIME_JSON_OWN_H
#define NACRE_RUNTIME_JSON_OWN_H

#include <json-c/json.h>

#include "base/own.h"

static inline void json_destroy(struct json_object *o)
{
	if (o)
		json_object_put(o);
}
DEFINE_OWNER(json_destroy, struct json_object)

#define AUTO_JSON CLEANUP(own_json_destroy)

#endif

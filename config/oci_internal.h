/* What the parts of the OCI parser share; nobody else includes this. Each fills one part of a zeroed struct. */
#ifndef NACRE_CONFIG_OCI_INTERNAL_H
#define NACRE_CONFIG_OCI_INTERNAL_H

#include "config/json.h"
#include "config/oci.h"

/* Allocates n zeroed elements of `size`; NULL for n == 0. */
int oci_list_alloc(size_t n, size_t size, void *out, struct err *err) MUST_CHECK;
/* Makes sure the string is "" rather than NULL. */
int oci_fill_string(char **s, struct err *err) MUST_CHECK;

/* Parses a text that must be one object. On failure err names `what`. */
int oci_object_parse(const char *text, size_t len, const char *what, struct json_object **out,
		     struct err *err) MUST_CHECK;

int oci_process_read(const struct json_at *at, struct oci_process *out, struct err *err) MUST_CHECK;
void oci_process_done(struct oci_process *p);

int oci_linux_read(const struct json_at *at, struct oci_spec *spec, struct err *err) MUST_CHECK;
void oci_linux_done(struct oci_spec *spec);

int oci_resources_read(const struct json_at *at, struct oci_resources *out,
		       struct err *err) MUST_CHECK;
void oci_resources_done(struct oci_resources *r);

int oci_seccomp_read(const struct json_at *at, struct oci_seccomp *out, struct err *err) MUST_CHECK;
void oci_seccomp_done(struct oci_seccomp *s);

#endif

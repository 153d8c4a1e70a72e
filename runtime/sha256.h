/* SHA-256 (FIPS 180-4) of a short text: containerd's convention names a shim's socket by one. Not for secrets. */
#ifndef NACRE_RUNTIME_SHA256_H
#define NACRE_RUNTIME_SHA256_H

#include <stddef.h>

#define SHA256_HEX_BYTES 65

void sha256_hex(const void *data, size_t len, char out[SHA256_HEX_BYTES]);

#endif

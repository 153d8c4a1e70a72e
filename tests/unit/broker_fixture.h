/* A broker for tests, and bundles for it to read. */
#ifndef NACRE_TESTS_UNIT_BROKER_FIXTURE_H
#define NACRE_TESTS_UNIT_BROKER_FIXTURE_H

#include "base/loop.h"
#include "runtime/broker.h"

/* config.json of the least that passes the checks, and more. */
#define BUNDLE_CONFIG(more)                                                                        \
	"{\"ociVersion\":\"1.2.0\",\"root\":{\"path\":\"rootfs\"},"                                \
	"\"linux\":{\"namespaces\":[{\"type\":\"network\"}]},"                                     \
	"\"process\":{\"cwd\":\"/\",\"args\":[\"x\"]}" more "}"

/* For sandbox "pod"; *lost (NULL: that fails the test) counts its ends that nobody asked for. */
struct broker *broker_fixture_start(struct loop *loop, const char *state_dir, const char *events,
				    int *lost);

/* Makes `dir` with a config.json. */
void broker_fixture_bundle(const char *dir, const char *config);

struct container;

/* Such a bundle, and a broker that knows it, for a container whose sandbox has none. */
void broker_fixture_give(struct loop *loop, struct container *c, const char *dir,
			 const char *config);

#endif

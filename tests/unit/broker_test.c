/*
 * The broker as its monitor sees it, and as a monitor that somebody has taken over could try it: what is not a request, what it does
 * not know, what it does not do any more once it is sealed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/own.h"
#include "base/path.h"
#include "base/str.h"
#include "runtime/broker_ask.h"
#include "runtime/state_dir.h"
#include "runtime/unix_socket.h"
#include "tests/unit/broker_fixture.h"

#define OF_POD(id) ",\"annotations\":{\"io.kubernetes.cri.sandbox-id\":\"" id "\"}"
#define HOOK(kind, script)                                                                         \
	",\"hooks\":{\"" kind "\":[{\"path\":\"/bin/sh\",\"args\":[\"sh\",\"-c\",\"" script "\"]}" \
	"]}"

struct world {
	struct loop *loop;
	struct broker *broker;
	char dir[40];
	char *state_dir, *events;
	int lost, answers;
	struct err why;
};

static int *
	at_slow; /* how many wait at "/slow" (open_tree below), in memory that children have in common */

static void on_hooks(void *arg, const struct err *why)
{
	struct world *w = arg;

	w->answers++;
	w->why = *why;
}

static int begin(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	struct err err = ERR_INIT;

	*at_slow = 0;
	assert_non_null(w);
	(void)snprintf(w->dir, sizeof(w->dir), "/tmp/broker-test-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	w->state_dir = str_printf("%s/state", w->dir);
	w->events = str_printf("%s/events", w->dir);
	assert_int_equal(mkdir(w->state_dir, 0700), 0);
	assert_int_equal(loop_create(&w->loop, &err), 0);
	w->broker = broker_fixture_start(w->loop, w->state_dir, w->events, &w->lost);
	*state = w;
	return 0;
}

static int end(void **state)
{
	struct world *w = *state;
	struct err err = ERR_INIT;

	broker_stop(w->broker);
	loop_destroy(w->loop);
	assert_int_equal(access(w->state_dir, F_OK), -1);
	assert_int_equal(path_remove_tree(AT_FDCWD, w->dir, &err), 0);
	free(w->events);
	free(w->state_dir);
	free(w);
	return 0;
}

/* The path of a bundle in `where` of the world; the caller's. */
static char *make_bundle(const struct world *w, const char *where, const char *text)
{
	char *path = str_printf("%s/%s", w->dir, where);

	broker_fixture_bundle(path, text);
	return path;
}

static int add(struct world *w, const char *id, const char *bundle, pid_t stub, uint32_t *number,
	       struct err *err)
{
	AUTO_FREE char *config = NULL;
	size_t len = 0;

	return broker_add(w->broker, id, bundle, stub, number, &config, &len, err);
}

/* --- mounts that are none ------------------------------------------------------------------------------------------ */

/* These stand in front of the C library's: storage that never answers, storage that is broken, and all the rest. */
int open_tree(int dirfd, const char *path, unsigned int flags)
{
	(void)flags;
	if (strcmp(path, "/slow") == 0)
		__atomic_add_fetch(at_slow, 1, __ATOMIC_SEQ_CST);
	while (strcmp(path, "/slow") == 0)
		(void)pause();
	if (strcmp(path, "/broken") != 0)
		return openat(dirfd, path, O_PATH | O_CLOEXEC);
	errno = EIO;
	return -1;
}

int mount_setattr(int dirfd, const char *path, unsigned int flags, struct mount_attr *attr,
		  size_t size)
{
	(void)dirfd, (void)path, (void)flags, (void)attr, (void)size;
	return 0;
}

int move_mount(int from_fd, const char *from, int to_fd, const char *to, unsigned int flags)
{
	(void)from_fd, (void)from, (void)to_fd, (void)to, (void)flags;
	return 0;
}

static void wait_for_answers(struct world *w, int n)
{
	struct err err = ERR_INIT;

	for (int i = 0; i < 100 && w->answers < n; i++)
		assert_int_equal(loop_step(w->loop, 5000, &err), 0);
	assert_int_equal(w->answers, n);
}

/* --- containers ---------------------------------------------------------------------------------------------------- */

static void test_containers(void **state)
{
	struct world *w = *state;
	AUTO_FREE char *first = make_bundle(w, "b/pod", BUNDLE_CONFIG(""));
	struct err err = ERR_INIT;
	uint32_t pod = 0, again = 0;

	assert_int_equal(add(w, "../x", first, 0, &pod, &err), -EINVAL);
	assert_int_equal(add(w, "pod", w->state_dir, 0, &pod, &err), -ENOENT);
	assert_int_equal(add(w, "pod", first, 0, &pod, &err), 0);
	assert_int_equal(add(w, "pod", first, 0, &again, &err), -EEXIST);
	/* A number is asked for, not an index or an address. */
	assert_int_equal(broker_unshare(w->broker, pod + 1, &err), -ENOENT);
	assert_int_equal(broker_forget(w->broker, 0, &err), -ENOENT);
	assert_int_equal(broker_unshare(w->broker, pod, &err), 0);
	/* Once it is out of the tree another one may be of that id; it does not come back itself. */
	broker_share(w->broker, pod, NULL, 0, on_hooks, w);
	assert_int_equal(w->answers, 1);
	assert_int_equal(w->why.code, EBUSY);
	assert_int_equal(add(w, "pod", first, 0, &again, &err), 0);
	assert_int_not_equal(again, pod);
	assert_int_equal(broker_forget(w->broker, pod, &err), 0);
	assert_int_equal(broker_forget(w->broker, pod, &err), -ENOENT);
	assert_int_equal(w->lost, 0);
}

static void test_sealed(void **state)
{
	static const struct {
		const char *where, *id, *config;
		pid_t stub;
		int rc;
	} cases[] = {
		{"b/good", "good", BUNDLE_CONFIG(OF_POD("pod")), 0, 0},
		{"b/other", "other", BUNDLE_CONFIG(OF_POD("another")), 0, -EPERM},
		{"b/alone", "alone", BUNDLE_CONFIG(""), 0, -EPERM},
		{"b/stub", "stub", BUNDLE_CONFIG(OF_POD("pod")), 1, -EPERM},
		{"b/name", "id", BUNDLE_CONFIG(OF_POD("pod")), 0, -EPERM},
		{"b/pod/rootfs", "rootfs", BUNDLE_CONFIG(OF_POD("pod")), 0, -EPERM},
		{"else/where", "where", BUNDLE_CONFIG(OF_POD("pod")), 0, -EPERM},
	};
	struct world *w = *state;
	AUTO_FREE char *first = make_bundle(w, "b/pod", BUNDLE_CONFIG(""));
	struct err err = ERR_INIT;
	uint32_t number = 0;

	assert_int_equal(add(w, "pod", first, 4711, &number, &err), 0);
	assert_int_equal(broker_seal(w->broker, 1, &err), 0);
	assert_int_equal(broker_seal(w->broker, 2, &err), -EPERM);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		AUTO_FREE char *bundle = make_bundle(w, cases[i].where, cases[i].config);
		int rc = add(w, cases[i].id, bundle, cases[i].stub, &number, &err);

		if (rc != cases[i].rc)
			fail_msg("%s: %d", cases[i].where, rc);
	}
	/* A link beside the first bundle is not followed. */
	AUTO_FREE char *link = str_printf("%s/b/link", w->dir);
	AUTO_FREE char *target = str_printf("%s/else/where", w->dir);
	assert_int_equal(symlink(target, link), 0);
	assert_true(add(w, "link", link, 0, &number, &err) < 0);
	assert_int_equal(broker_network(w->broker, STDIN_FILENO, "", &err), -EPERM);
}

/* CRI-O's and podman's layout: neither the bundle nor the directory it is in may be a link. */
static void test_sealed_userdata(void **state)
{
	struct world *w = *state;
	AUTO_FREE char *first = make_bundle(w, "b/pod/userdata", BUNDLE_CONFIG(""));
	AUTO_FREE char *second = make_bundle(w, "b/second/userdata", BUNDLE_CONFIG(OF_POD("pod")));
	AUTO_FREE char *outside = make_bundle(w, "out/userdata", BUNDLE_CONFIG(OF_POD("pod")));
	AUTO_FREE char *target = str_printf("%s/out", w->dir);
	AUTO_FREE char *link = str_printf("%s/b/link", w->dir);
	AUTO_FREE char *linked = str_printf("%s/b/link/userdata", w->dir);
	struct err err = ERR_INIT;
	uint32_t number = 0;

	assert_int_equal(symlink(target, link), 0);
	assert_int_equal(add(w, "pod", first, 0, &number, &err), 0);
	assert_int_equal(broker_seal(w->broker, 1, &err), 0);
	assert_int_equal(add(w, "second", second, 0, &number, &err), 0);
	assert_int_equal(add(w, "link", linked, 0, &number, &err), -ELOOP);
	assert_int_equal(add(w, "out", outside, 0, &number, &err), -EPERM);
}

#define BIND(source)                                                                               \
	",\"mounts\":[{\"destination\":\"/x\",\"type\":\"bind\",\"source\":\"" source              \
	"\",\"options\":[\"bind\"]}]"

/* A container of the pod with a bind, in a pod that is sealed if it was not. */
static uint32_t add_second(struct world *w, const char *id, const char *config)
{
	AUTO_FREE char *first = make_bundle(w, "b/pod", BUNDLE_CONFIG(""));
	AUTO_FREE char *where = str_printf("b/%s", id);
	AUTO_FREE char *bundle = make_bundle(w, where, config);
	AUTO_FREE char *rootfs = str_printf("%s/rootfs", bundle);
	struct err err = ERR_INIT;
	uint32_t number = 0;

	if (add(w, "pod", first, 0, &number, &err) == 0)
		assert_int_equal(broker_seal(w->broker, 1, &err), 0);
	assert_int_equal(path_mkdirs(AT_FDCWD, rootfs, 0755, &err), 0);
	if (add(w, id, bundle, 0, &number, &err))
		fail_msg("%s", err.text);
	return number;
}

/* Where a container is in the shared tree, or would be. */
static bool is_shared(const struct world *w, const char *id)
{
	AUTO_FREE char *path = str_printf("%s/%s/%s", w->state_dir, STATE_SHARED_DIR, id);

	return access(path, F_OK) == 0;
}

static void wait_until_slow(struct world *w, int n)
{
	struct err err = ERR_INIT;

	for (int i = 0; i < 1000 && __atomic_load_n(at_slow, __ATOMIC_SEQ_CST) < n; i++)
		assert_int_equal(loop_step(w->loop, 10, &err), 0);
	assert_int_equal(__atomic_load_n(at_slow, __ATOMIC_SEQ_CST), n);
}

/* Others are served while the storage of one does not answer. */
static void test_slow_storage(void **state)
{
	struct world *w = *state;
	const uint32_t slow = add_second(w, "slow", BUNDLE_CONFIG(OF_POD("pod") BIND("/slow")));
	const uint32_t good = add_second(w, "good", BUNDLE_CONFIG(OF_POD("pod") BIND("/")));
	AUTO_FREE char *again = str_printf("%s/b/slow", w->dir);
	struct err err = ERR_INIT;
	uint32_t number = 0;

	broker_share(w->broker, slow, NULL, 0, on_hooks, w);
	broker_share(w->broker, good, NULL, 0, on_hooks, w);
	wait_for_answers(w, 1);
	if (w->why.code)
		fail_msg("%s", w->why.text);
	assert_true(is_shared(w, "good"));
	assert_int_equal(broker_unshare(w->broker, 99, &err), -ENOENT);
	broker_share(w->broker, slow, NULL, 0, on_hooks, w);
	assert_int_equal(w->why.code, EBUSY);
	/* It lets go when it is told to. */
	wait_until_slow(w, 1);
	assert_int_equal(broker_unshare(w->broker, slow, &err), 0);
	wait_for_answers(w, 3);
	assert_int_equal(w->why.code, EIO);
	assert_non_null(strstr(w->why.text, "share '/slow'"));
	assert_false(is_shared(w, "slow"));
	assert_int_equal(add(w, "slow", again, 0, &number, &err), 0);
	broker_share(w->broker, number, NULL, 0, on_hooks, w);
	assert_int_equal(broker_forget(w->broker, number, &err), 0);
	wait_for_answers(w, 4);
	assert_int_equal(broker_forget(w->broker, number, &err), -ENOENT);
}

static void test_storage_is_given_up(void **state)
{
	struct world *w = *state;
	const uint32_t slow = add_second(w, "slow", BUNDLE_CONFIG(OF_POD("pod") BIND("/slow")));
	struct err err = ERR_INIT;

	w->broker->share_ms = 2000;
	broker_share(w->broker, slow, NULL, 0, on_hooks, w);
	wait_for_answers(w, 1);
	assert_int_equal(w->why.code, ETIMEDOUT);
	assert_non_null(strstr(w->why.text, "share '/slow': not done within 2 s"));
	assert_int_equal(broker_forget(w->broker, slow, &err), 0);
}

static void test_storage_is_waited_for_no_more(void **state)
{
	struct world *w = *state;
	const uint32_t slow = add_second(w, "slow", BUNDLE_CONFIG(OF_POD("pod") BIND("/slow")));

	broker_share(w->broker, slow, NULL, 0, on_hooks, w);
	broker_close_hooks(w->broker);
	assert_int_equal(w->answers, 1);
	assert_int_equal(w->why.code, ECANCELED);
}

static void test_broken_storage(void **state)
{
	struct world *w = *state;
	const uint32_t broken =
		add_second(w, "broken", BUNDLE_CONFIG(OF_POD("pod") BIND("/broken")));

	broker_share(w->broker, broken, NULL, 0, on_hooks, w);
	wait_for_answers(w, 1);
	assert_int_equal(w->why.code, EIO);
	assert_non_null(strstr(w->why.text, "bind '/broken'"));
	assert_false(is_shared(w, "broken"));
	broker_share(w->broker, broken, NULL, 0, on_hooks, w);
	wait_for_answers(w, 2);
	assert_int_equal(w->why.code, EIO);
}

static void test_hooks(void **state)
{
	struct world *w = *state;
	AUTO_FREE char *bundle =
		make_bundle(w, "b/pod", BUNDLE_CONFIG(HOOK("createRuntime", "cat >state; exit 3")));
	AUTO_FREE char *file = str_printf("%s/state", bundle);
	AUTO_FREE char *text = NULL;
	struct err err = ERR_INIT;
	uint32_t number = 0;

	assert_int_equal(add(w, "pod", bundle, 4711, &number, &err), 0);
	broker_hooks(w->broker, number, HOOKS_CREATE, on_hooks, w);
	wait_for_answers(w, 1);
	if (w->why.code != ECHILD)
		fail_msg("%s", w->why.text);
	assert_non_null(strstr(w->why.text, "createRuntime hook #0"));
	assert_int_equal(path_read(AT_FDCWD, file, 4096, &text, NULL, &err), 0);
	assert_non_null(strstr(text, "\"pid\":4711"));
	/* Once in a life. */
	broker_hooks(w->broker, number, HOOKS_CREATE, on_hooks, w);
	assert_int_equal(w->answers, 2);
	assert_int_equal(w->why.code, EBUSY);
	broker_hooks(w->broker, number, (enum hooks_moment)99, on_hooks, w);
	assert_int_equal(w->why.code, EBUSY);
	broker_hooks(w->broker, 99, HOOKS_POSTSTOP, on_hooks, w);
	assert_int_equal(w->why.code, ENOENT);
	/* Nobody takes what they work with away. */
	broker_hooks(w->broker, number, HOOKS_POSTSTOP, on_hooks, w);
	wait_for_answers(w, 5);
	assert_int_equal(w->why.code, 0);
}

static void test_hooks_are_cut_short(void **state)
{
	struct world *w = *state;
	AUTO_FREE char *bundle =
		make_bundle(w, "b/pod", BUNDLE_CONFIG(HOOK("prestart", "sleep 600")));
	struct err err = ERR_INIT;
	uint32_t number = 0;

	assert_int_equal(add(w, "pod", bundle, 0, &number, &err), 0);
	broker_hooks(w->broker, number, HOOKS_CREATE, on_hooks, w);
	assert_int_equal(w->answers, 0);
	assert_int_equal(broker_forget(w->broker, number, &err), -EBUSY);
	broker_close_hooks(w->broker);
	assert_int_equal(w->answers, 1);
	assert_int_equal(w->why.code, ECANCELED);
	assert_int_equal(broker_forget(w->broker, number, &err), 0);
}

/* --- names --------------------------------------------------------------------------------------------------------- */

static void test_streams(void **state)
{
	struct world *w = *state;
	AUTO_FREE char *fifo = str_printf("%s/fifo", w->dir);
	AUTO_FREE char *file = str_printf("%s/file", w->dir);
	AUTO_FREE char *log = str_printf("file://%s/logs/0", w->dir);
	AUTO_FREE char *beside = str_printf("file://%s/logs/1", w->dir);
	AUTO_FREE char *elsewhere = str_printf("file://%s/file", w->dir);
	struct stdio_host h = STDIO_HOST_INIT;
	struct err err = ERR_INIT;

	assert_int_equal(mkfifo(fifo, 0600), 0);
	assert_int_equal(path_write_atomic(AT_FDCWD, file, "x", 1, 0600, &err), 0);
	assert_int_equal(broker_open_stream(w->broker, log, false, &h, &err), 0);
	assert_int_equal(h.keep, -1);
	stdio_host_close(&h);
	assert_int_equal(broker_seal(w->broker, 1, &err), 0);
	assert_int_equal(broker_open_stream(w->broker, fifo, false, &h, &err), 0);
	assert_true(h.fd >= 0 && h.keep >= 0);
	assert_int_equal(fcntl(h.fd, F_GETFL) & O_ACCMODE, O_WRONLY);
	stdio_host_close(&h);
	assert_int_equal(broker_open_stream(w->broker, fifo, true, &h, &err), 0);
	assert_int_equal(fcntl(h.fd, F_GETFL) & O_ACCMODE, O_RDONLY);
	stdio_host_close(&h);
	assert_int_equal(broker_open_stream(w->broker, beside, false, &h, &err), 0);
	stdio_host_close(&h);
	assert_int_equal(broker_open_stream(w->broker, elsewhere, false, &h, &err), -EPERM);
	assert_int_equal(broker_open_stream(w->broker, file, true, &h, &err), -EINVAL);
	assert_int_equal(broker_open_stream(w->broker, "fd://3", true, &h, &err), -ENOTSUP);
	assert_int_equal(broker_open_stream(w->broker, "/dev/null", true, &h, &err), -EINVAL);
}

/* A pod may have the directory of its logs, and what that lies in, among its volumes. */
static void test_logs_of_a_guest(void **state)
{
	struct world *w = *state;
	AUTO_FREE char *first = str_printf("file://%s/v/logs/0", w->dir);
	AUTO_FREE char *outside = str_printf("%s/outside", w->dir);
	AUTO_FREE char *moved = str_printf("%s/v/moved", w->dir);
	AUTO_FREE char *logs = str_printf("%s/v/logs", w->dir);
	AUTO_FREE char *planted = str_printf("%s/planted", outside);
	static const struct {
		const char *leaf;
		int rc;
	} cases[] = {
		{"1", 0},         {"0", 0},      {"link", -ELOOP}, {"fifo", -EINVAL},
		{"held", -ENXIO}, {"", -ENOENT}, {"..", -EISDIR},  {".", -EISDIR},
	};
	struct stdio_host h = STDIO_HOST_INIT;
	struct err err = ERR_INIT;

	assert_int_equal(mkdir(outside, 0755), 0);
	assert_int_equal(broker_open_stream(w->broker, first, false, &h, &err), 0);
	stdio_host_close(&h);
	assert_int_equal(broker_seal(w->broker, 1, &err), 0);
	AUTO_FD int dir = open(logs, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(symlinkat(planted, dir, "link"), 0);
	assert_int_equal(mkfifoat(dir, "held", 0600), 0);
	assert_int_equal(mkfifoat(dir, "fifo", 0600), 0);
	AUTO_FD int reader = openat(dir, "fifo", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	assert_true(reader >= 0);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		AUTO_FREE char *name = str_printf("file://%s/%s", logs, cases[i].leaf);
		int rc = broker_open_stream(w->broker, name, false, &h, &err);

		if (rc != cases[i].rc)
			fail_msg("%s: %d", name, rc);
		stdio_host_close(&h);
	}
	/* The directory itself gives way to a link. */
	AUTO_FREE char *later = str_printf("file://%s/planted", logs);
	assert_int_equal(rename(logs, moved), 0);
	assert_int_equal(symlink(outside, logs), 0);
	assert_int_equal(broker_open_stream(w->broker, later, false, &h, &err), 0);
	stdio_host_close(&h);
	assert_int_equal(access(planted, F_OK), -1);
	assert_int_equal(faccessat(dir, "planted", F_OK, 0), 0);
}

static void test_connections(void **state)
{
	struct world *w = *state;
	AUTO_FREE char *vsock = str_printf("%s/%s", w->state_dir, STATE_VSOCK_SOCK);
	AUTO_FREE char *record = str_printf("%s/start.json", w->state_dir);
	AUTO_FD int events = -1;
	AUTO_FD int guest = -1;
	AUTO_FD int ours = -1;
	struct err err = ERR_INIT;

	assert_int_equal(broker_connect_events(w->broker, &ours, &err), -ENOENT);
	assert_int_equal(unix_listen(w->events, &events, &err), 0);
	assert_int_equal(unix_listen(vsock, &guest, &err), 0);
	assert_int_equal(broker_connect_events(w->broker, &ours, &err), 0);
	AUTO_FD int accepted = accept4(events, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	assert_true(accepted >= 0);
	own_close(&ours);
	assert_int_equal(broker_connect_guest(w->broker, &ours, &err), 0);
	own_close(&accepted);
	accepted = accept4(guest, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	assert_true(accepted >= 0);
	assert_int_equal(broker_record(w->broker, "{}", &err), 0);
	assert_int_equal(access(record, F_OK), 0);
	assert_int_equal(broker_record(w->broker, "{}", &err), -EPERM);
}

/* --- its end ------------------------------------------------------------------------------------------------------- */

/* What is not a request ends it; whoever asks afterwards is told at once. */
static void test_garbage(void **state)
{
	struct world *w = *state;
	struct err err = ERR_INIT;

	assert_int_equal(send(w->broker->sock, "garbage", 7, 0), 7);
	for (int i = 0; i < 100 && !w->lost; i++)
		assert_int_equal(loop_step(w->loop, 5000, &err), 0);
	assert_int_equal(w->lost, 1);
	assert_int_equal(broker_unshare(w->broker, 1, &err), -ENOTCONN);
	/* Nobody is left to do it. */
	assert_int_equal(rmdir(w->state_dir), 0);
}

/* Whoever asked knows what it was about; an answer that comes late is nobody's. */
static void test_silence(void **state)
{
	const struct timeval soon = {.tv_usec = 100000};
	struct world *w = *state;
	struct stdio_host h = STDIO_HOST_INIT;
	struct err err = ERR_INIT;

	assert_int_equal(setsockopt(w->broker->sock, SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof(soon)),
			 0);
	assert_int_equal(kill(broker_pid(w->broker), SIGSTOP), 0);
	assert_int_equal(broker_open_stream(w->broker, "file:///nfs/x", false, &h, &err),
			 -ETIMEDOUT);
	assert_non_null(strstr(err.text, "open-stream 'file:///nfs/x'"));
	assert_int_equal(broker_unshare(w->broker, 1, &err), -ENOTCONN);
	assert_int_equal(kill(broker_pid(w->broker), SIGKILL), 0);
	for (int i = 0; i < 100 && !w->lost; i++)
		assert_int_equal(loop_step(w->loop, 5000, &err), 0);
	assert_int_equal(w->lost, 1);
	assert_int_equal(rmdir(w->state_dir), 0);
}

static void test_too_long_a_request(void **state)
{
	struct world *w = *state;
	AUTO_FREE char *name = malloc(BROKER_MAX_BYTES + 1);
	struct stdio_host h = STDIO_HOST_INIT;
	struct err err = ERR_INIT;

	assert_non_null(name);
	memset(name, 'x', BROKER_MAX_BYTES);
	name[BROKER_MAX_BYTES] = '\0';
	assert_int_equal(broker_open_stream(w->broker, name, true, &h, &err), -E2BIG);
	name[BROKER_MAX_BYTES - 100] = '\0';
	assert_int_equal(broker_open_stream(w->broker, name, true, &h, &err), -ENOTSUP);
}

#define WITH_WORLD(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_WORLD(test_containers),
		WITH_WORLD(test_sealed),
		WITH_WORLD(test_sealed_userdata),
		WITH_WORLD(test_slow_storage),
		WITH_WORLD(test_storage_is_given_up),
		WITH_WORLD(test_storage_is_waited_for_no_more),
		WITH_WORLD(test_broken_storage),
		WITH_WORLD(test_hooks),
		WITH_WORLD(test_hooks_are_cut_short),
		WITH_WORLD(test_streams),
		WITH_WORLD(test_logs_of_a_guest),
		WITH_WORLD(test_connections),
		WITH_WORLD(test_garbage),
		WITH_WORLD(test_silence),
		WITH_WORLD(test_too_long_a_request),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	at_slow = mmap(NULL, sizeof(*at_slow), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		       -1, 0);
	if (at_slow == MAP_FAILED)
		return EXIT_FAILURE;
	return cmocka_run_group_tests_name("broker", tests, NULL, NULL);
}

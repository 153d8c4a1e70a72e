/* The "process" object (runtime-spec 1.2, config.md, "Process"). */
#include "config/oci_internal.h"

#include <linux/capability.h>
#include <string.h>
#include <sys/resource.h>

static const struct json_word capability_words[] = {
#define CAP(name)                                                                                  \
	{                                                                                          \
		"CAP_" #name, CAP_##name                                                           \
	}
	CAP(CHOWN),
	CAP(DAC_OVERRIDE),
	CAP(DAC_READ_SEARCH),
	CAP(FOWNER),
	CAP(FSETID),
	CAP(KILL),
	CAP(SETGID),
	CAP(SETUID),
	CAP(SETPCAP),
	CAP(LINUX_IMMUTABLE),
	CAP(NET_BIND_SERVICE),
	CAP(NET_BROADCAST),
	CAP(NET_ADMIN),
	CAP(NET_RAW),
	CAP(IPC_LOCK),
	CAP(IPC_OWNER),
	CAP(SYS_MODULE),
	CAP(SYS_RAWIO),
	CAP(SYS_CHROOT),
	CAP(SYS_PTRACE),
	CAP(SYS_PACCT),
	CAP(SYS_ADMIN),
	CAP(SYS_BOOT),
	CAP(SYS_NICE),
	CAP(SYS_RESOURCE),
	CAP(SYS_TIME),
	CAP(SYS_TTY_CONFIG),
	CAP(MKNOD),
	CAP(LEASE),
	CAP(AUDIT_WRITE),
	CAP(AUDIT_CONTROL),
	CAP(SETFCAP),
	CAP(MAC_OVERRIDE),
	CAP(MAC_ADMIN),
	CAP(SYSLOG),
	CAP(WAKE_ALARM),
	CAP(BLOCK_SUSPEND),
	CAP(AUDIT_READ),
	CAP(PERFMON),
	CAP(BPF),
	CAP(CHECKPOINT_RESTORE),
#undef CAP
	{NULL, 0},
};

static const struct json_word rlimit_words[] = {
#define RLIM(name)                                                                                 \
	{                                                                                          \
		"RLIMIT_" #name, RLIMIT_##name                                                     \
	}
	RLIM(AS),      RLIM(CORE),     RLIM(CPU),        RLIM(DATA),   RLIM(FSIZE), RLIM(LOCKS),
	RLIM(MEMLOCK), RLIM(MSGQUEUE), RLIM(NICE),       RLIM(NOFILE), RLIM(NPROC), RLIM(RSS),
	RLIM(RTPRIO),  RLIM(RTTIME),   RLIM(SIGPENDING), RLIM(STACK),
#undef RLIM
	{NULL, 0},
};

/* A name this build does not know is left out, as runc does with a capability the kernel does not know. */
static int read_cap_set(const struct json_at *caps, const char *key, uint64_t *out, struct err *err)
{
	struct json_at at = json_key(caps, key);
	struct oci_strings names = {0};
	int ret = json_get_strings(&at, &names, err);

	for (size_t i = 0; ret == 0 && i < names.n; i++) {
		int64_t bit;

		if (json_word_find(capability_words, names.v[i], &bit) == 0)
			*out |= 1ULL << bit;
	}
	strings_done(&names);
	return ret;
}

static int read_caps(const struct json_at *at, struct oci_caps *out, struct err *err)
{
	const struct {
		const char *key;
		uint64_t *set;
	} sets[] = {
		{"bounding", &out->bounding},       {"effective", &out->effective},
		{"inheritable", &out->inheritable}, {"permitted", &out->permitted},
		{"ambient", &out->ambient},
	};
	int ret = json_want_object(at, &out->present, err);

	for (size_t i = 0; ret == 0 && i < ARRAY_SIZE(sets); i++)
		ret = read_cap_set(at, sets[i].key, sets[i].set, err);
	return ret;
}

static int read_rlimit(const struct json_at *at, struct oci_rlimit *out, struct err *err)
{
	struct json_at type = json_key(at, "type"), soft = json_key(at, "soft");
	struct json_at hard = json_key(at, "hard");
	AUTO_FREE char *name = NULL;
	int64_t resource;
	int ret = json_get_string(&type, &name, err);

	if (ret < 0)
		return ret;
	if (!name || json_word_find(rlimit_words, name, &resource) < 0)
		return json_err(&type, err, "is not a known resource limit");
	out->resource = (int)resource;
	ret = json_get_u64(&soft, UINT64_MAX, &out->soft, err);
	if (ret == 0)
		ret = json_get_u64(&hard, UINT64_MAX, &out->hard, err);
	if (ret == 0 && out->soft > out->hard)
		ret = json_err(at, err, "the soft limit is above the hard limit");
	return ret;
}

static int read_rlimits(const struct json_at *at, struct oci_process *p, struct err *err)
{
	size_t n;
	int ret = json_want_array(at, &n, err);

	if (ret == 0)
		ret = oci_list_alloc(n, sizeof(*p->rlimits), &p->rlimits, err);
	for (size_t i = 0; ret == 0 && i < n; i++) {
		struct json_at item = json_index(at, i);

		ret = read_rlimit(&item, &p->rlimits[i], err);
		p->nrlimits = i + 1;
	}
	return ret;
}

static int read_gids(const struct json_at *at, struct oci_user *user, struct err *err)
{
	size_t n;
	int ret = json_want_array(at, &n, err);

	if (ret == 0)
		ret = oci_list_alloc(n, sizeof(*user->additional_gids), &user->additional_gids,
				     err);
	for (size_t i = 0; ret == 0 && i < n; i++) {
		struct json_at item = json_index(at, i);

		ret = json_get_u32(&item, &user->additional_gids[i], err);
		user->nadditional_gids = i + 1;
	}
	return ret;
}

static int read_user(const struct json_at *at, struct oci_user *user, struct err *err)
{
	struct json_at uid = json_key(at, "uid"), gid = json_key(at, "gid");
	struct json_at umask = json_key(at, "umask"), gids = json_key(at, "additionalGids");
	bool present;
	int ret = json_want_object(at, &present, err);

	if (ret == 0)
		ret = json_get_u32(&uid, &user->uid, err);
	if (ret == 0)
		ret = json_get_u32(&gid, &user->gid, err);
	if (ret == 0)
		ret = json_get_u32(&umask, &user->umask, err);
	if (ret < 0)
		return ret;
	user->has_umask = umask.v != NULL;
	if (user->umask > 0777)
		return json_err(&umask, err, "is not a file mode mask (0 to 0777)");
	return read_gids(&gids, user, err);
}

static int read_console_size(const struct json_at *at, struct oci_process *p, struct err *err)
{
	struct json_at width = json_key(at, "width"), height = json_key(at, "height");
	uint64_t w = 0, h = 0;
	bool present;
	int ret = json_want_object(at, &present, err);

	if (ret == 0)
		ret = json_get_u64(&width, UINT16_MAX, &w, err);
	if (ret == 0)
		ret = json_get_u64(&height, UINT16_MAX, &h, err);
	p->console_width = (uint16_t)w;
	p->console_height = (uint16_t)h;
	return ret;
}

static int read_oom_score(const struct json_at *at, struct oci_process *p, struct err *err)
{
	int64_t score = 0;
	int ret = json_get_i64(at, &score, err);

	if (ret == 0 && (score < -1000 || score > 1000))
		return json_err(at, err, "expected a number from -1000 to 1000");
	p->has_oom_score_adj = at->v != NULL;
	p->oom_score_adj = (int)score;
	return ret;
}

int oci_process_read(const struct json_at *at, struct oci_process *p, struct err *err)
{
	struct json_at terminal = json_key(at, "terminal"), size = json_key(at, "consoleSize");
	struct json_at cwd = json_key(at, "cwd"), args = json_key(at, "args");
	struct json_at env = json_key(at, "env"), user = json_key(at, "user");
	struct json_at caps = json_key(at, "capabilities"), rlimits = json_key(at, "rlimits");
	struct json_at nnp = json_key(at, "noNewPrivileges"), oom = json_key(at, "oomScoreAdj");
	int ret = json_get_bool(&terminal, &p->terminal, err);

	if (ret == 0)
		ret = read_console_size(&size, p, err);
	if (ret == 0)
		ret = json_get_string(&cwd, &p->cwd, err);
	if (ret == 0)
		ret = json_get_strings(&args, &p->args, err);
	if (ret == 0)
		ret = json_get_strings(&env, &p->env, err);
	if (ret == 0)
		ret = read_user(&user, &p->user, err);
	if (ret == 0)
		ret = read_caps(&caps, &p->caps, err);
	if (ret == 0)
		ret = read_rlimits(&rlimits, p, err);
	if (ret == 0)
		ret = json_get_bool(&nnp, &p->no_new_privileges, err);
	if (ret == 0)
		ret = read_oom_score(&oom, p, err);
	if (ret == 0)
		ret = oci_fill_string(&p->cwd, err);
	if (ret < 0)
		return ret;
	if (p->args.n == 0 || p->args.v[0][0] == '\0')
		return json_err(&args, err, "must name a command to run");
	if (p->cwd[0] != '/')
		return json_err(&cwd, err, "must be an absolute path");
	return 0;
}

void oci_process_done(struct oci_process *p)
{
	free(p->cwd);
	strings_done(&p->args);
	strings_done(&p->env);
	free(p->user.additional_gids);
	free(p->rlimits);
}

int oci_process_parse(const char *text, size_t len, const char *what, struct oci_process **out,
		      struct err *err)
{
	CLEANUP(own_oci_process_destroy) struct oci_process *p = calloc(1, sizeof(*p));
	AUTO_JSON struct json_object *v = NULL;
	struct json_at root;
	int ret;

	if (!p)
		return err_set(err, ENOMEM, "parse '%s'", what);
	ret = oci_object_parse(text, len, what, &v, err);
	if (ret < 0)
		return ret;
	root = json_root(v);
	ret = oci_process_read(&root, p, err);
	if (ret < 0)
		return err_wrap(err, "'%s'", what);
	*out = TAKE_PTR(&p);
	return 0;
}

void oci_process_destroy(struct oci_process *p)
{
	if (!p)
		return;
	oci_process_done(p);
	free(p);
}

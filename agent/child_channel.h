/*
 * The words between the agent and a child that has been cloned but not yet become the container's program: a
 * SOCK_SEQPACKET pair. The agent says "go" twice (once its own part of the set-up is done, once to pass the exec barrier);
 * the child says "ready" (with the pty master of a terminal) or how it failed. The child's end is close-on-exec, so end of
 * file after the second go means that the program runs, or that the child died on its way there.
 */
#ifndef NACRE_AGENT_CHILD_CHANNEL_H
#define NACRE_AGENT_CHILD_CHANNEL_H

#include "base/compiler.h"
#include "base/err.h"

enum child_word {
	CHILD_GONE,   /* end of file */
	CHILD_READY,  /* waits at the exec barrier */
	CHILD_FAILED, /* err says how; the child exits */
};

/* Both ends are CLOEXEC, the agent's is non-blocking. */
int child_channel_open(int *agent_fd, int *child_fd, struct err *err) MUST_CHECK;

/* Agent's side. A broken channel is no error here: the child's end is reported by the next receive. */
void child_channel_go(int fd);
/*
 * 0 with *word (CHILD_FAILED fills *why; CHILD_READY may give *pty_fd, owned by the caller, else -1), -EAGAIN when nothing
 * has come, -EBADMSG for what no child of ours says, another -errno when it died without having heard the last go.
 */
int child_channel_receive(int fd, enum child_word *word, struct err *why, int *pty_fd) MUST_CHECK;

/* Child's side: blocks; -EPIPE when the agent has let go. */
int child_channel_wait_go(int fd) MUST_CHECK;
int child_channel_ready(int fd, int pty_fd) MUST_CHECK;
void child_channel_failed(int fd, const struct err *why);

#endif

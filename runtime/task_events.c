/* The Task service's events, by containerd's topics and types (containerd/api/events). */
#include "runtime/task_events.h"

#include "base/log.h"
#include "runtime/container.h"
#include "runtime/events.h"
#include "runtime/task_handlers.h"

void task_on_exit(void *arg, const struct process *p)
{
	struct task_service *ts = arg;
	Containerd__TaskExit ev = CONTAINERD__TASK_EXIT__INIT;
	Containerd__Timestamp exited_at = task_exited_at(p);

	log_info("container %s: '%s' ended with %u", p->container->id, p->exec_id, p->exit_status);
	ev.container_id = p->container->id;
	ev.id = process_is_init(p) ? p->container->id : p->exec_id;
	ev.pid = (uint32_t)process_host_pid(p);
	ev.exit_status = p->exit_status;
	ev.exited_at = &exited_at;
	events_publish(ts->events, "/tasks/exit", "containerd.events.TaskExit", &ev.base);
}

void task_on_oom(void *arg, const struct container *c)
{
	struct task_service *ts = arg;
	Containerd__TaskOOM ev = CONTAINERD__TASK_OOM__INIT;

	ev.container_id = c->id;
	events_publish(ts->events, "/tasks/oom", "containerd.events.TaskOOM", &ev.base);
}

void task_publish_create(const struct task_service *ts, const Containerd__CreateTaskRequest *m,
			 uint32_t pid)
{
	Containerd__TaskCreate ev = CONTAINERD__TASK_CREATE__INIT;
	Containerd__TaskIO io = CONTAINERD__TASK_IO__INIT;

	io.stdin = m->stdin;
	io.stdout = m->stdout;
	io.stderr = m->stderr;
	io.terminal = m->terminal;
	ev.container_id = m->id;
	ev.bundle = m->bundle;
	ev.rootfs = m->rootfs;
	ev.n_rootfs = m->n_rootfs;
	ev.io = &io;
	ev.pid = pid;
	events_publish(ts->events, "/tasks/create", "containerd.events.TaskCreate", &ev.base);
}

void task_publish_start(const struct task_service *ts, const struct process *p)
{
	Containerd__TaskStart start = CONTAINERD__TASK_START__INIT;
	Containerd__TaskExecStarted exec = CONTAINERD__TASK_EXEC_STARTED__INIT;

	if (process_is_init(p)) {
		start.container_id = p->container->id;
		start.pid = (uint32_t)process_host_pid(p);
		events_publish(ts->events, "/tasks/start", "containerd.events.TaskStart",
			       &start.base);
		return;
	}
	exec.container_id = p->container->id;
	exec.exec_id = p->exec_id;
	exec.pid = (uint32_t)process_host_pid(p);
	events_publish(ts->events, "/tasks/exec-started", "containerd.events.TaskExecStarted",
		       &exec.base);
}

void task_publish_delete(const struct task_service *ts, const struct process *p)
{
	Containerd__TaskDelete ev = CONTAINERD__TASK_DELETE__INIT;
	Containerd__Timestamp exited_at = task_exited_at(p);

	ev.container_id = p->container->id;
	ev.id = p->container->id;
	ev.pid = (uint32_t)process_host_pid(p);
	ev.exit_status = p->exit_status;
	ev.exited_at = &exited_at;
	events_publish(ts->events, "/tasks/delete", "containerd.events.TaskDelete", &ev.base);
}

void task_publish_exec_added(const struct task_service *ts, const Containerd__ExecProcessRequest *m)
{
	Containerd__TaskExecAdded ev = CONTAINERD__TASK_EXEC_ADDED__INIT;

	ev.container_id = m->id;
	ev.exec_id = m->exec_id;
	events_publish(ts->events, "/tasks/exec-added", "containerd.events.TaskExecAdded",
		       &ev.base);
}

void task_publish_paused(const struct task_service *ts, const struct container *c)
{
	Containerd__TaskPaused paused = CONTAINERD__TASK_PAUSED__INIT;
	Containerd__TaskResumed resumed = CONTAINERD__TASK_RESUMED__INIT;

	paused.container_id = resumed.container_id = c->id;
	if (c->paused)
		events_publish(ts->events, "/tasks/paused", "containerd.events.TaskPaused",
			       &paused.base);
	else
		events_publish(ts->events, "/tasks/resumed", "containerd.events.TaskResumed",
			       &resumed.base);
}

/* A thread that runs one function once; see the header. */
#include "vmm/job.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/own.h"

struct job {
	pthread_t thread;
	int (*fn)(void *arg, struct err *err);
	void *arg;
	int rc;
	struct err err;
};

static void *run_job(void *arg)
{
	struct job *job = arg;

	job->rc = job->fn(job->arg, &job->err);
	return NULL;
}

int job_begin(int (*fn)(void *arg, struct err *err), void *arg, struct job **out, struct err *err)
{
	AUTO_FREE struct job *job = calloc(1, sizeof(*job));
	int rc;

	if (!job)
		return err_set(err, ENOMEM, "job");
	job->fn = fn;
	job->arg = arg;
	rc = pthread_create(&job->thread, NULL, run_job, job);
	if (rc != 0)
		return err_set(err, rc, "start a thread");
	*out = TAKE_PTR(&job);
	return 0;
}

int job_end(struct job **job, struct err *err)
{
	AUTO_FREE struct job *j = TAKE_PTR(job);

	if (!j)
		return 0;
	(void)pthread_join(j->thread, NULL);
	if (j->rc < 0 && err)
		*err = j->err;
	return j->rc;
}

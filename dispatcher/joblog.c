#include "dispatcher/joblog.h"

#include "dispatcher/map.h"

#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#define DIGEST_CHUNK ((size_t)128 << 10)
#define FILE_NAME    96

struct joblog {
	struct joblogs *all;
	uint64_t run, job;
	uint32_t epoch;
	unsigned references;
	int fd; /* -1 until there is a file */
	uint64_t length, durable;
	int failure;
	bool finished, queued;
	bool digest_known;
	uint8_t digest[DIGEST_SIZE]; /* of `durable` bytes */
	struct tail_list tails;

	/* The thread's while `queued`. */
	bool name_durable;
	uint64_t target, hashed;
	struct digest *running;
	int outcome;
	uint8_t target_digest[DIGEST_SIZE];
	STAILQ_ENTRY(joblog) next;
};
STAILQ_HEAD(joblog_queue, joblog);

struct joblogs {
	int state;
	struct joblog_callbacks callbacks;
	void *context;
	struct map open;
	struct event *event;
	int wake; /* eventfd: the thread has finished some */
	pthread_t thread;
	bool started;

	pthread_mutex_t lock; /* of what follows */
	pthread_cond_t work;
	struct joblog_queue waiting, done;
	bool stop;
};

static void file_name(uint64_t run, uint64_t job, uint32_t epoch, char out[FILE_NAME])
{
	(void)snprintf(out, FILE_NAME, "logs/%" PRIu64 "/%" PRIu64 ".%" PRIu32 ".log", run, job,
		       epoch); /* fits */
}

/* --- the thread
 * ----------------------------------------------------------------------------------- */

static int sync_directory(int state, const char *name)
{
	owned_fd fd = openat(state, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

static int sync_run(int state, uint64_t run)
{
	char name[64];

	(void)snprintf(name, sizeof(name), "logs/%" PRIu64, run); /* fits */
	return sync_directory(state, name);
}

/* A new file is durable only when the directories that lead to it are. */
static int sync_name(struct joblog *log)
{
	int rc = sync_run(log->all->state, log->run);

	if (rc == 0)
		rc = sync_directory(log->all->state, "logs");
	log->name_durable = rc == 0;
	return rc;
}

static int digest_up_to_target(struct joblog *log, char *chunk)
{
	while (log->hashed < log->target) {
		uint64_t left = log->target - log->hashed;
		ssize_t n = pread(log->fd, chunk, left < DIGEST_CHUNK ? (size_t)left : DIGEST_CHUNK,
				  (off_t)log->hashed);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO; /* shorter than what we wrote */
		if (digest_add(log->running, chunk, (size_t)n) < 0)
			return -ENOMEM;
		log->hashed += (uint64_t)n;
	}
	return digest_get(log->running, log->target_digest);
}

static void sync_one(struct joblog *log, char *chunk)
{
	log->outcome = digest_up_to_target(log, chunk);
	if (log->outcome == 0 && fdatasync(log->fd) < 0)
		log->outcome = -errno;
	if (log->outcome == 0 && !log->name_durable)
		log->outcome = sync_name(log);
}

static void *sync_thread(void *argument)
{
	struct joblogs *l = argument;
	static _Thread_local char chunk[DIGEST_CHUNK];
	const uint64_t once = 1;

	pthread_mutex_lock(&l->lock);
	for (;;) {
		struct joblog *log = STAILQ_FIRST(&l->waiting);

		if (!log && l->stop)
			break;
		if (!log) {
			pthread_cond_wait(&l->work, &l->lock);
			continue;
		}
		STAILQ_REMOVE_HEAD(&l->waiting, next);
		pthread_mutex_unlock(&l->lock);
		sync_one(log, chunk);
		pthread_mutex_lock(&l->lock);
		STAILQ_INSERT_TAIL(&l->done, log, next);
		(void)!write(l->wake, &once, sizeof(once)); /* full means: it wakes anyway */
	}
	pthread_mutex_unlock(&l->lock);
	return NULL;
}

/* --- the loop's side
 * -------------------------------------------------------------------------------- */

static void enqueue(struct joblog *log)
{
	struct joblogs *l = log->all;

	if (log->queued || log->failure || log->fd < 0)
		return;
	log->queued = true;
	log->references++;
	log->target = log->length;
	pthread_mutex_lock(&l->lock);
	STAILQ_INSERT_TAIL(&l->waiting, log, next);
	pthread_cond_signal(&l->work);
	pthread_mutex_unlock(&l->lock);
}

static void settle(struct joblog *log)
{
	log->queued = false;
	if (log->outcome < 0) {
		log->failure = log->outcome;
	} else {
		log->durable = log->target;
		log->digest_known = true;
		for (size_t i = 0; i < DIGEST_SIZE; i++)
			log->digest[i] = log->target_digest[i];
	}
	if (log->length > log->durable)
		enqueue(log);
	log->all->callbacks.synced(log->all->context, log);
	joblog_put(log);
}

static void some_done(evutil_socket_t fd, short what, void *context)
{
	struct joblogs *l = context;
	struct joblog_queue done = STAILQ_HEAD_INITIALIZER(done);
	uint64_t times;

	(void)what;
	(void)!read(fd, &times, sizeof(times)); /* only empties it */
	pthread_mutex_lock(&l->lock);
	STAILQ_CONCAT(&done, &l->done);
	pthread_mutex_unlock(&l->lock);
	while (!STAILQ_EMPTY(&done)) {
		struct joblog *log = STAILQ_FIRST(&done);

		STAILQ_REMOVE_HEAD(&done, next);
		settle(log);
	}
	if (l->callbacks.turn)
		l->callbacks.turn(l->context);
}

int joblogs_new(struct event_base *base, int state, const struct joblog_callbacks *callbacks,
		void *context, struct joblogs **out, struct error *err)
{
	owned(joblogs) *l = calloc(1, sizeof(*l));
	int rc;

	if (!l)
		return error_set(err, ENOMEM, "make the logs");
	l->state = state;
	l->callbacks = *callbacks;
	l->context = context;
	l->wake = -1;
	STAILQ_INIT(&l->waiting);
	STAILQ_INIT(&l->done);
	pthread_mutex_init(&l->lock, NULL);
	pthread_cond_init(&l->work, NULL);
	if (mkdirat(state, "logs", 0700) < 0 && errno != EEXIST)
		return error_set(err, errno, "make the directory of the logs");
	if (fsync(state) < 0)
		return error_set(err, errno, "sync the state directory");
	l->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (l->wake < 0)
		return error_set(err, errno, "make the logs");
	l->event = event_new(base, l->wake, EV_READ | EV_PERSIST, some_done, l);
	if (!l->event || event_add(l->event, NULL) < 0)
		return error_set(err, ENOMEM, "make the logs");
	rc = pthread_create(&l->thread, NULL, sync_thread, l);
	if (rc)
		return error_set(err, rc, "start the thread that syncs the logs");
	l->started = true;
	*out = give(l);
	return 0;
}

void joblogs_free(struct joblogs *l)
{
	if (!l)
		return;
	pthread_mutex_lock(&l->lock);
	l->stop = true;
	pthread_cond_signal(&l->work);
	pthread_mutex_unlock(&l->lock);
	if (l->started)
		pthread_join(l->thread, NULL);
	while (!STAILQ_EMPTY(&l->done)) {
		struct joblog *log = STAILQ_FIRST(&l->done);

		STAILQ_REMOVE_HEAD(&l->done, next);
		joblog_put(log);
	}
	if (l->event)
		event_free(l->event);
	if (l->wake >= 0)
		(void)close(l->wake); /* holds nothing */
	map_done(&l->open);
	pthread_cond_destroy(&l->work);
	pthread_mutex_destroy(&l->lock);
	free(l);
}

static void joblog_free(struct joblog *log)
{
	if (log->fd >= 0)
		(void)close(log->fd); /* what matters was synced */
	digest_free(log->running);
	free(log);
}
OWNED(joblog)

static int open_there(struct joblog *log, struct error *err)
{
	char name[FILE_NAME];
	struct stat st;

	file_name(log->run, log->job, log->epoch, name);
	log->fd = openat(log->all->state, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	if (log->fd < 0)
		return errno == ENOENT ? 0 : error_set(err, errno, "open %s", name);
	if (fstat(log->fd, &st) < 0 || !S_ISREG(st.st_mode))
		return error_say(err, EINVAL, "%s is no file", name);
	log->length = (uint64_t)st.st_size;
	return 0;
}

struct joblog *joblog_find(struct joblogs *l, uint64_t job, uint32_t epoch)
{
	struct joblog *log = map_get(&l->open, attempt_key(job, epoch));

	return log && log->epoch == epoch ? log : NULL;
}

int joblog_get(struct joblogs *l, uint64_t run, uint64_t job, uint32_t epoch, struct joblog **out,
	       struct error *err)
{
	struct joblog *there = joblog_find(l, job, epoch);
	owned(joblog) *log = NULL;
	int rc;

	if (there) {
		there->references++;
		*out = there;
		return 0;
	}
	log = calloc(1, sizeof(*log));
	if (!log)
		return error_set(err, ENOMEM, "open a log");
	log->fd = -1;
	log->all = l;
	log->run = run;
	log->job = job;
	log->epoch = epoch;
	log->references = 1;
	TAILQ_INIT(&log->tails);
	log->running = digest_new();
	if (!log->running || digest_get(log->running, log->digest) < 0)
		return error_set(err, ENOMEM, "open a log");
	log->digest_known = true; /* of nothing */
	rc = open_there(log, err);
	if (rc < 0)
		return rc;
	if (map_put(&l->open, attempt_key(job, epoch), log) < 0)
		return error_set(err, ENOMEM, "open a log");
	*out = log;
	log = NULL; /* from here on, putting it back frees it */
	return 0;
}

void joblog_put(struct joblog *log)
{
	if (!log || --log->references)
		return;
	(void)map_take(&log->all->open, attempt_key(log->job, log->epoch)); /* it is this one */
	joblog_free(log);
}

int joblogs_clear(struct joblogs *l, uint64_t run, uint64_t job, uint32_t epoch)
{
	char name[FILE_NAME];

	file_name(run, job, epoch, name);
	if (unlinkat(l->state, name, 0) < 0)
		return errno == ENOENT ? 0 : -errno;
	return sync_run(l->state, run); /* rare: it may wait for the disk */
}

void joblog_whose(const struct joblog *log, uint64_t *job, uint32_t *epoch)
{
	*job = log->job;
	*epoch = log->epoch;
}

static int make_file(struct joblog *log)
{
	char name[FILE_NAME];

	(void)snprintf(name, sizeof(name), "logs/%" PRIu64, log->run); /* fits */
	if (mkdirat(log->all->state, name, 0700) < 0 && errno != EEXIST)
		return -errno;
	file_name(log->run, log->job, log->epoch, name);
	log->fd = openat(log->all->state, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
			 0600);
	return log->fd < 0 ? -errno : 0;
}

int joblog_append(struct joblog *log, uint64_t offset, const void *bytes, size_t length)
{
	const char *from = bytes;
	int rc = 0;

	if (offset > log->length)
		return -ERANGE;
	if (offset + length <= log->length) {
		joblog_sync(log); /* had it all, perhaps from before a restart */
		return 0;
	}
	from += log->length - offset;
	length -= (size_t)(log->length - offset);
	if (log->fd < 0)
		rc = make_file(log);
	while (rc == 0 && length) {
		ssize_t n = pwrite(log->fd, from, length, (off_t)log->length);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			rc = -errno;
			break;
		}
		log->length += (uint64_t)n;
		from += n;
		length -= (size_t)n;
	}
	enqueue(log);
	return rc;
}

void joblog_sync(struct joblog *log)
{
	if (log->durable < log->length)
		enqueue(log);
}

uint64_t joblog_length(const struct joblog *log)
{
	return log->length;
}

uint64_t joblog_durable(const struct joblog *log)
{
	return log->durable;
}

int joblog_failure(const struct joblog *log)
{
	return log->failure;
}

bool joblog_digest(const struct joblog *log, uint8_t out[DIGEST_SIZE])
{
	if (log->durable != log->length || !log->digest_known)
		return false;
	for (size_t i = 0; i < DIGEST_SIZE; i++)
		out[i] = log->digest[i];
	return true;
}

ssize_t joblog_read(const struct joblog *log, uint64_t offset, void *bytes, size_t size)
{
	ssize_t n;

	if (log->fd < 0 || offset >= log->length)
		return 0;
	if (size > log->length - offset)
		size = (size_t)(log->length - offset);
	do
		n = pread(log->fd, bytes, size, (off_t)offset);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

void joblog_finish(struct joblog *log)
{
	log->finished = true;
}

bool joblog_finished(const struct joblog *log)
{
	return log->finished;
}

struct tail_list *joblog_tails(struct joblog *log)
{
	return &log->tails;
}

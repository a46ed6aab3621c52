/* bench.h - what the benches of the dispatcher share: the real daemon on a disk, and blocking
 * peers. */
#pragma once

#include "base/buffer.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/owned.h"
#include "base/tree.h"
#include "proto/message.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/* A header of helpers: no bench uses all of them. */
#pragma GCC diagnostic ignored "-Wunused-function"

static char bench_dir[128];
static pid_t bench_daemon;

static void bench_die(const char *what)
{
	(void)fprintf(stderr, "bench: %s: %s\n", what, strerror(errno));
	if (bench_daemon > 0)
		(void)kill(bench_daemon, SIGKILL);
	exit(1);
}

/* Durable is what counts, so the state lies on a disk: CUPEL_BENCH_DIR, /var/tmp otherwise. */
static void bench_start(void)
{
	const char *bin = getenv("CUPEL_BIN"), *where = getenv("CUPEL_BENCH_DIR");
	char program[512], fd[16], ready[8];
	int ends[2];

	(void)snprintf(bench_dir, sizeof(bench_dir), "%.100s/cupel-bench-XXXXXX",
		       where ? where : "/var/tmp");
	if (!mkdtemp(bench_dir) || pipe(ends) < 0)
		bench_die("make a state directory");
	(void)snprintf(program, sizeof(program), "%s/cupel-dispatcher",
		       bin ? bin : "build/release/bin");
	(void)snprintf(fd, sizeof(fd), "%d", ends[1]);
	bench_daemon = fork();
	if (bench_daemon == 0) {
		(void)setenv("CUPEL_LOG", "error", 1);
		execl(program, "cupel-dispatcher", "--state", bench_dir, "--ready-fd", fd, NULL);
		_exit(127);
	}
	(void)close(ends[1]);
	if (fd_read_all(ends[0], ready, 6) != 6)
		bench_die("start the dispatcher (is CUPEL_BIN right?)");
	(void)close(ends[0]);
}

static void bench_stop(void)
{
	int tmp;

	(void)kill(bench_daemon, SIGTERM);
	(void)waitpid(bench_daemon, NULL, 0);
	*strrchr(bench_dir, '/') = '\0';
	tmp = open(bench_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	(void)tree_remove(tmp, bench_dir + strlen(bench_dir) + 1, NULL);
	(void)close(tmp);
}

/* A line of /proc/PID/status, in kB. */
static long bench_memory_kb(const char *key)
{
	char path[64], line[256];
	long kb = -1;
	FILE *f;

	(void)snprintf(path, sizeof(path), "/proc/%d/status", (int)bench_daemon);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		if (strncmp(line, key, strlen(key)) == 0)
			kb = strtol(line + strlen(key) + 1, NULL, 10);
	if (f)
		(void)fclose(f);
	return kb;
}

/* --- a blocking peer
 * -------------------------------------------------------------------------------------- */

struct bench_peer {
	int fd;
	struct buffer in, out;
	size_t taken; /* of `in`: the last frame */
};

static void bench_flush(struct bench_peer *p)
{
	if (p->out.length && fd_write_all(p->fd, p->out.data, p->out.length) < 0)
		bench_die("write to the dispatcher");
	buffer_clear(&p->out);
}

/* Queues; bench_next() sends. */
static void bench_send(struct bench_peer *p, uint8_t type, const ProtobufCMessage *m)
{
	if (message_pack(type, m, &p->out) < 0)
		bench_die("pack a message");
}

static bool bench_has_frame(struct bench_peer *p, struct frame *out)
{
	ssize_t n;

	buffer_consume(&p->in, p->taken);
	p->taken = 0;
	n = frame_parse((const uint8_t *)p->in.data, p->in.length, out);
	p->taken = n > 0 ? (size_t)n : 0;
	return n > 0;
}

/* The next frame, after everything queued was sent; borrowed until the next call. */
static void bench_next(struct bench_peer *p, struct frame *out)
{
	while (!bench_has_frame(p, out)) {
		ssize_t n;

		bench_flush(p);
		if (buffer_reserve(&p->in, 1 << 18) < 0)
			bench_die("read from the dispatcher");
		n = read(p->fd, p->in.data + p->in.length, 1 << 18);
		if (n <= 0)
			bench_die("read from the dispatcher");
		p->in.length += (size_t)n;
	}
	if (out->type == FRAME_ERROR) {
		struct error err = {0};
		ProtobufCMessage *m;

		if (message_unpack(out, &m, &err) == 0)
			(void)fprintf(stderr, "bench: %s\n", ((Cupel__Error *)m)->text);
		bench_die("the dispatcher complained");
	}
}

/* The next message of that type; others are passed over. Freed by message_free(). */
static ProtobufCMessage *bench_await(struct bench_peer *p, uint8_t type)
{
	struct frame frame;
	struct error err = {0};
	ProtobufCMessage *m;

	do
		bench_next(p, &frame);
	while (frame.type != type);
	if (message_unpack(&frame, &m, &err) < 0)
		bench_die(err.text);
	return m;
}

static void bench_dial(struct bench_peer *p, Cupel__Role role, const char *name, unsigned slots)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	Cupel__Hello hello = CUPEL__HELLO__INIT;
	Cupel__RunnerInfo info = CUPEL__RUNNER_INFO__INIT;
	Cupel__Capacity capacity = CUPEL__CAPACITY__INIT;
	uint8_t incarnation[16] = {1};

	*p = (struct bench_peer){.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
	p->out.max = p->in.max = (size_t)256 << 20;
	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%.80s/dispatcher.sock",
		       bench_dir);
	if (p->fd < 0 || connect(p->fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		bench_die("connect to the dispatcher");
	hello.protocol_min = PROTOCOL_MIN;
	hello.protocol_max = PROTOCOL_MAX;
	hello.role = role;
	hello.name = (char *)name;
	hello.software = (char *)"bench";
	capacity.slots = slots;
	info.capacity = &capacity;
	info.incarnation.data = incarnation;
	info.incarnation.len = sizeof(incarnation);
	hello.runner = role == CUPEL__ROLE__ROLE_RUNNER ? &info : NULL;
	bench_send(p, FRAME_HELLO, &hello.base);
	message_free(bench_await(p, FRAME_WELCOME));
}

static void bench_hang_up(struct bench_peer *p)
{
	(void)close(p->fd);
	buffer_done(&p->in);
	buffer_done(&p->out);
}

static void bench_submit(struct bench_peer *p)
{
	Cupel__Submit m = CUPEL__SUBMIT__INIT;

	m.repository = (char *)"/bench/repository";
	m.name = (char *)"bench";
	m.revision = (char *)"HEAD";
	bench_send(p, FRAME_SUBMIT, &m.base);
}

/* Answers an assignment of a plan with `jobs` jobs. */
static void bench_plan(struct bench_peer *p, const Cupel__Attempt *which, size_t jobs)
{
	Cupel__Plan m = CUPEL__PLAN__INIT;
	Cupel__JobSpec *spec = calloc(jobs, sizeof(*spec)), **list = calloc(jobs, sizeof(*list));
	Cupel__Accept accept = CUPEL__ACCEPT__INIT;
	Cupel__Released released = CUPEL__RELEASED__INIT;
	char(*name)[24] = calloc(jobs, sizeof(*name));

	if (!spec || !list || !name)
		bench_die("make a plan");
	for (size_t i = 0; i < jobs; i++) {
		cupel__job_spec__init(&spec[i]);
		(void)snprintf(name[i], sizeof(name[i]), "job%zu", i);
		spec[i].name = name[i];
		spec[i].run = (char *)"true";
		spec[i].network = (char *)"none";
		spec[i].profile = (char *)"ci";
		list[i] = &spec[i];
	}
	m.attempt = accept.attempt = released.attempt = (Cupel__Attempt *)which;
	m.commit = (char *)"0123456789012345678901234567890123456789";
	m.n_jobs = jobs;
	m.jobs = list;
	bench_send(p, FRAME_ACCEPT, &accept.base);
	bench_send(p, FRAME_PLAN, &m.base);
	bench_send(p, FRAME_RELEASED, &released.base);
	free(name);
	free(list);
	free(spec);
}

/* One job's log as fast as it goes, durable and digested; meanwhile the dispatcher's memory, and
 * how long another client waits for an answer. */
#include "proto/digest.h"
#include "tests/bench/bench.h"

#include <poll.h>

#define LOG_MB 512

static Cupel__Attempt which = CUPEL__ATTEMPT__INIT;

/* Takes assignments until the job's; plans on the way. */
static void take_job(struct bench_peer *p)
{
	for (;;) {
		Cupel__Assign *a = (Cupel__Assign *)bench_await(p, FRAME_ASSIGN);
		Cupel__Accept accept = CUPEL__ACCEPT__INIT;

		which.job = a->attempt->job;
		which.epoch = a->attempt->epoch;
		if (a->kind == CUPEL__KIND__KIND_PLAN) {
			bench_plan(p, &which, 1);
			message_free(&a->base);
			continue;
		}
		message_free(&a->base);
		accept.attempt = &which;
		bench_send(p, FRAME_ACCEPT, &accept.base);
		bench_flush(p);
		return;
	}
}

static void send_chunk(struct bench_peer *p, uint64_t offset, const uint8_t *bytes)
{
	const struct log_head head = {which.job, which.epoch, offset};
	uint8_t packed[FRAME_HEAD + LOG_HEAD];

	frame_head(packed, FRAME_LOG, LOG_HEAD + LOG_BYTES_MAX);
	log_head_write(&head, packed + FRAME_HEAD);
	if (fd_write_all(p->fd, packed, sizeof(packed)) < 0 ||
	    fd_write_all(p->fd, bytes, LOG_BYTES_MAX) < 0)
		bench_die("send a log");
}

/* Reads acknowledgements; waits for one when the credit is used up. */
static void take_acks(struct bench_peer *p, uint64_t *may_send, bool wait)
{
	struct pollfd ready = {p->fd, POLLIN, 0};
	struct frame frame;

	while (bench_has_frame(p, &frame) || wait || poll(&ready, 1, 0) > 0) {
		struct error err = {0};
		ProtobufCMessage *m;

		if (!p->taken)
			bench_next(p, &frame);
		wait = false;
		if (frame.type != FRAME_LOG_ACK)
			continue;
		if (message_unpack(&frame, &m, &err) < 0)
			bench_die(err.text);
		*may_send = ((Cupel__LogAck *)m)->durable + ((Cupel__LogAck *)m)->credit;
		message_free(m);
	}
}

/* Seconds from the first byte to the acknowledged result. */
static double push_log(struct bench_peer *p, const uint8_t *chunk, const uint8_t *digest)
{
	const uint64_t length = (uint64_t)LOG_MB << 20;
	uint64_t may_send = 4 << 20, at = 0;
	Cupel__Result result = CUPEL__RESULT__INIT;
	int64_t began = clock_boot_us();

	while (at < length) {
		take_acks(p, &may_send, at + LOG_BYTES_MAX > may_send);
		if (at + LOG_BYTES_MAX > may_send)
			continue;
		send_chunk(p, at, chunk);
		at += LOG_BYTES_MAX;
	}
	result.attempt = &which;
	result.verdict = CUPEL__VERDICT__VERDICT_PASSED;
	result.log_length = length;
	result.log_digest.data = (uint8_t *)digest;
	result.log_digest.len = DIGEST_SIZE;
	bench_send(p, FRAME_RESULT, &result.base);
	message_free(bench_await(p, FRAME_RESULT_ACK));
	return (double)(clock_boot_us() - began) / 1e6;
}

/* Another client: asks all the time until the pipe ends, then tells its worst wait. */
static void ask_all_the_time(int until, int tell)
{
	struct pollfd end = {until, POLLIN, 0};
	Cupel__List list = CUPEL__LIST__INIT;
	struct bench_peer p;
	int64_t worst = 0;

	bench_dial(&p, CUPEL__ROLE__ROLE_READER, "other", 0);
	while (poll(&end, 1, 2) == 0) {
		int64_t began = clock_boot_us(), took;

		bench_send(&p, FRAME_LIST, &list.base);
		message_free(bench_await(&p, FRAME_RUNS));
		took = clock_boot_us() - began;
		worst = took > worst ? took : worst;
	}
	if (fd_write_all(tell, &worst, sizeof(worst)) < 0)
		bench_die("tell the worst wait");
	_exit(0);
}

static void digest_all(const uint8_t *chunk, uint8_t *out)
{
	owned(digest) *d = digest_new();

	for (size_t i = 0; d && i < ((size_t)LOG_MB << 20) / LOG_BYTES_MAX; i++)
		(void)digest_add(d, chunk, LOG_BYTES_MAX); /* checked by the dispatcher's */
	if (!d || digest_get(d, out) < 0)
		bench_die("digest");
}

int main(void)
{
	static uint8_t chunk[LOG_BYTES_MAX];
	uint8_t digest[DIGEST_SIZE];
	struct bench_peer runner, client;
	int until[2], tell[2];
	int64_t worst = 0;
	double seconds;
	pid_t other;

	for (size_t i = 0; i < sizeof(chunk); i++)
		chunk[i] = (uint8_t)(i % 80 == 79 ? '\n' : 'a' + i % 26);
	digest_all(chunk, digest);
	bench_start();
	bench_dial(&runner, CUPEL__ROLE__ROLE_RUNNER, "bench", 1);
	bench_dial(&client, CUPEL__ROLE__ROLE_SUBMITTER, "bench", 0);
	bench_submit(&client);
	message_free(bench_await(&client, FRAME_SUBMITTED));
	take_job(&runner);
	if (pipe(until) < 0 || pipe(tell) < 0)
		bench_die("pipe");
	other = fork();
	if (other == 0) {
		(void)close(until[1]);
		ask_all_the_time(until[0], tell[1]);
	}
	seconds = push_log(&runner, chunk, digest);
	(void)close(until[1]);
	if (fd_read_all(tell[0], &worst, sizeof(worst)) != sizeof(worst))
		bench_die("hear the worst wait");
	(void)waitpid(other, NULL, 0);
	(void)printf("bench log_mb_s %.0f MB/s (against laminar 208: ratio %.2f)\n",
		     LOG_MB / seconds, LOG_MB / seconds / 208);
	(void)printf("bench log_peak_mb %.1f MB (against laminar 581: ratio %.3f)\n",
		     (double)bench_memory_kb("VmHWM:") / 1024,
		     (double)bench_memory_kb("VmHWM:") / 1024 / 581);
	(void)printf("bench log_other_wait_ms %.1f ms (against laminar 800: ratio %.4f)\n",
		     (double)worst / 1000, (double)worst / 1000 / 800);
	bench_hang_up(&runner);
	bench_hang_up(&client);
	bench_stop();
	return 0;
}

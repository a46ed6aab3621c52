#include "runner/spool.h"

#include "base/buffer.h"
#include "base/fd.h"
#include "base/tree.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define TICKET_HEAD 12 /* slot, length of the assign, length of the granted limits */
#define FILE_MAX    (FRAME_PAYLOAD_MAX + 1024)

/* Room on the disk that is the answer's, however full the rest is. A result is a few KiB; a plan
 * that is longer can be made again. */
#define RESERVE       "reserve"
#define RESERVE_BYTES 65536

void spool_name(uint64_t job, uint32_t epoch, char out[SPOOL_NAME_MAX])
{
	(void)snprintf(out, SPOOL_NAME_MAX, "%" PRIu64 ".%" PRIu32, job, epoch);
}

bool spool_name_parse(const char *name, uint64_t *job, uint32_t *epoch)
{
	char again[SPOOL_NAME_MAX];

	if (sscanf(name, "%20" SCNu64 ".%10" SCNu32, job, epoch) != 2)
		return false;
	spool_name(*job, *epoch, again);
	return *job && strcmp(name, again) == 0;
}

/* --- the ticket --------------------------------------------------------- */

void ticket_done(struct ticket *t)
{
	if (t->assign)
		cupel__assign__free_unpacked(t->assign, NULL);
	if (t->granted)
		cupel__limits__free_unpacked(t->granted, NULL);
	*t = (struct ticket){0};
}

static void put32(uint8_t *out, size_t value)
{
	out[0] = (uint8_t)(value >> 24);
	out[1] = (uint8_t)(value >> 16);
	out[2] = (uint8_t)(value >> 8);
	out[3] = (uint8_t)value;
}

static uint32_t get32(const uint8_t *in)
{
	return (uint32_t)in[0] << 24 | (uint32_t)in[1] << 16 | (uint32_t)in[2] << 8 | in[3];
}

int ticket_pack(const struct ticket *t, struct buffer *out)
{
	size_t assign = cupel__assign__get_packed_size(t->assign);
	size_t granted = t->granted ? cupel__limits__get_packed_size(t->granted) : 0;
	int rc = buffer_reserve(out, TICKET_HEAD + assign + granted);
	uint8_t *at;

	if (rc < 0)
		return rc;
	at = (uint8_t *)out->data + out->length;
	put32(at, t->slot);
	put32(at + 4, assign);
	put32(at + 8,
	      t->granted ? granted + 1 : 0); /* 0: none; limits of nothing pack to nothing */
	cupel__assign__pack(t->assign, at + TICKET_HEAD);
	if (t->granted)
		cupel__limits__pack(t->granted, at + TICKET_HEAD + assign);
	out->length += TICKET_HEAD + assign + granted;
	return 0;
}

int ticket_unpack(const void *bytes, size_t length, struct ticket *out, struct error *err)
{
	const uint8_t *at = bytes;
	struct ticket t = {0};
	size_t assign, granted;

	if (length < TICKET_HEAD)
		return error_say(err, EBADMSG, "the assignment is cut off");
	t.slot = get32(at);
	assign = get32(at + 4);
	granted = get32(at + 8);
	if (assign + (granted ? granted - 1 : 0) != length - TICKET_HEAD)
		return error_say(err, EBADMSG, "the assignment has the wrong length");
	t.assign = cupel__assign__unpack(NULL, assign, at + TICKET_HEAD);
	if (granted)
		t.granted = cupel__limits__unpack(NULL, granted - 1, at + TICKET_HEAD + assign);
	if (!t.assign || !t.assign->attempt || (granted && !t.granted)) {
		ticket_done(&t);
		return error_say(err, EBADMSG, "the assignment can't be read");
	}
	*out = t;
	return 0;
}

static int write_ticket(int dir, const struct ticket *t)
{
	owned_fd fd =
		openat(dir, "assign", O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	owned_buffer packed = {0};
	int rc = fd < 0 ? -errno : ticket_pack(t, &packed);

	return rc < 0 ? rc : fd_write_all(fd, packed.data, packed.length);
}

static int make_reserve(int dir)
{
	owned_fd fd =
		openat(dir, RESERVE, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0)
		return -errno;
	/* without room for it no attempt begins; some file systems can't promise any */
	return fallocate(fd, 0, 0, RESERVE_BYTES) < 0 && errno != EOPNOTSUPP ? -errno : 0;
}

int spool_create(int spool, const char *name, const struct ticket *t, struct error *err)
{
	owned_fd dir = -1;
	int rc;

	if (mkdirat(spool, name, 0700) < 0)
		return error_set(err, errno, "make spool %s", name);
	dir = openat(spool, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	rc = dir < 0 ? -errno : make_reserve(dir);
	if (rc == 0)
		rc = write_ticket(dir, t);
	if (rc < 0) {
		(void)tree_remove(spool, name, NULL); /* the first failure is the one to tell */
		return error_set(err, -rc, "make spool %s", name);
	}
	return give_fd(&dir);
}

int spool_open(int spool, const char *name, struct ticket *out, struct error *err)
{
	owned_fd dir = openat(spool, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	owned_buffer packed = {0};
	int rc;

	if (dir < 0)
		return error_set(err, errno, "open spool %s", name);
	rc = fd_read_file(dir, "assign", FILE_MAX, &packed);
	if (rc == -ENOENT)
		return error_say(err, EBADMSG, "spool %s: nothing was assigned", name);
	if (rc < 0)
		return error_set(err, -rc, "read spool %s", name);
	rc = ticket_unpack(packed.data, packed.length, out, err);
	if (rc < 0)
		return error_prefix(err, "spool %s", name);
	return give_fd(&dir);
}

/* --- the answer --------------------------------------------------------- */

void answer_done(struct answer *a)
{
	if (a->message)
		message_free(a->message);
	*a = (struct answer){0};
}

int answer_copy(uint8_t type, const ProtobufCMessage *m, struct answer *out)
{
	owned_buffer packed = {0};
	struct frame frame;
	int rc = message_pack(type, m, &packed);

	if (rc == 0 && frame_parse((uint8_t *)packed.data, packed.length, &frame) <= 0)
		rc = -EBADMSG;
	if (rc == 0)
		rc = message_unpack(&frame, &out->message, NULL);
	if (rc == 0)
		out->type = type;
	return rc;
}

/* The reserve becomes the answer, so that no other can take the room in between. */
static int write_reserve(int dir, const struct buffer *frame)
{
	owned_fd fd = openat(dir, RESERVE, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
	int rc;

	if (fd < 0)
		return -errno;
	rc = fd_write_all(fd, frame->data, frame->length);
	if (rc < 0)
		return rc;
	if (ftruncate(fd, (off_t)frame->length) < 0 || fsync(fd) < 0 ||
	    renameat(dir, RESERVE, dir, "result") < 0 || fsync(dir) < 0)
		return -errno;
	return 0;
}

int spool_write_answer(int dir, uint8_t type, const ProtobufCMessage *m, struct error *err)
{
	owned_buffer frame = {0};
	int rc = message_pack(type, m, &frame);

	if (rc == 0)
		rc = write_reserve(dir, &frame);
	if (rc == -ENOENT) /* used up by an answer that wasn't whole */
		rc = fd_replace_file(dir, "result", frame.data, frame.length, 0600);
	return rc < 0 ? error_set(err, -rc, "write the result") : 0;
}

int spool_read_answer(int dir, struct answer *out, struct error *err)
{
	owned_buffer bytes = {0};
	struct frame frame;
	int rc = fd_read_file(dir, "result", FILE_MAX, &bytes);

	if (rc < 0)
		return error_set(err, -rc, "read the result");
	if (frame_parse((uint8_t *)bytes.data, bytes.length, &frame) <= 0 ||
	    (frame.type != FRAME_RESULT && frame.type != FRAME_PLAN))
		return error_say(err, EBADMSG, "the result can't be read");
	rc = message_unpack(&frame, &out->message, err);
	if (rc == 0)
		out->type = frame.type;
	return rc;
}

int spool_open_log(int dir, bool writing, struct error *err)
{
	int flags = writing ? O_WRONLY | O_CREAT | O_APPEND : O_RDONLY;
	int fd = openat(dir, "log", flags | O_NOFOLLOW | O_CLOEXEC, 0600);

	return fd < 0 ? error_set(err, errno, "open the log") : fd;
}

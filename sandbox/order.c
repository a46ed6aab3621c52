#include "sandbox/order.h"

#include "base/buffer.h"
#include "base/fd.h"
#include "base/owned.h"
#include "sandbox/packet.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

/* PACKET_MAX: what most jobs are told in. A copy of it is in each first process's memory. */
#define PACKET_MAX 65536

/* First in the bytes; whatever else there is has its place told here, from their start. */
struct head {
	struct plan plan;
	struct sandbox_spec spec;
	struct filter filter;
	size_t argv, env, path, binds; /* tables of offsets, a string, an array */
	size_t loud, quiet;
	size_t workdir, hostname, worktree, system; /* strings; 0: none */
};

struct writer {
	struct buffer bytes;
	int rc;
};

/* Where it came to stand. */
static size_t put(struct writer *w, const void *bytes, size_t length)
{
	static const char padding[8];
	size_t at;

	if (w->rc == 0 && w->bytes.length % sizeof(padding))
		w->rc = buffer_append(&w->bytes, padding,
				      sizeof(padding) - w->bytes.length % sizeof(padding));
	at = w->bytes.length;
	if (w->rc == 0)
		w->rc = buffer_append(&w->bytes, bytes, length);
	return at;
}

static size_t put_string(struct writer *w, const char *text)
{
	return text ? put(w, text, strlen(text) + 1) : 0;
}

/* A table of offsets that ends with 0, behind the strings. */
static size_t put_strings(struct writer *w, const char *const *list)
{
	owned_buffer table = {0};
	size_t at = 0;

	for (; *list && w->rc == 0; list++) {
		at = put_string(w, *list);
		w->rc = w->rc ? w->rc : buffer_append(&table, &at, sizeof(at));
	}
	at = 0;
	w->rc = w->rc ? w->rc : buffer_append(&table, &at, sizeof(at));
	return w->rc ? 0 : put(w, table.data, table.length);
}

static size_t put_binds(struct writer *w, const struct plan *plan)
{
	owned_buffer array = {0};

	for (size_t i = 0; i < plan->bind_count && w->rc == 0; i++) {
		struct source bind = plan->binds[i];

		bind.target = (const char *)put_string(w, bind.target);
		bind.path = (char *)put_string(w, bind.path);
		w->rc = w->rc ? w->rc : buffer_append(&array, &bind, sizeof(bind));
	}
	return w->rc || !array.length ? 0 : put(w, array.data, array.length);
}

static size_t put_filter(struct writer *w, const struct sock_fprog *program)
{
	return put(w, program->filter, program->len * sizeof(*program->filter));
}

static void put_all(struct writer *w, const struct plan *plan)
{
	struct head head = {.plan = *plan, .spec = *plan->spec, .filter = *plan->filter};

	(void)put(w, &head, sizeof(head));
	head.argv = put_strings(w, plan->argv);
	head.env = put_strings(w, (const char *const *)plan->env);
	head.path = put_string(w, plan->path);
	head.binds = put_binds(w, plan);
	if (plan->birth != BIRTH_READY) { /* that one has it by birth */
		head.loud = put_filter(w, &plan->filter->loud);
		head.quiet = put_filter(w, &plan->filter->quiet);
	}
	head.workdir = put_string(w, plan->workdir);
	head.hostname = put_string(w, plan->spec->hostname);
	head.worktree = put_string(w, plan->worktree.path);
	head.system = put_string(w, plan->system.path);
	if (w->rc == 0)
		memcpy(w->bytes.data, &head, sizeof(head));
}

/* In the order in which take_fds() takes them; how many. */
static size_t list_fds(const struct plan *plan, int *fds)
{
	size_t count = 0;

	fds[count++] = plan->input;
	fds[count++] = plan->output;
	fds[count++] = plan->error;
	if (plan->worktree.fd >= 0)
		fds[count++] = plan->worktree.fd;
	if (plan->system.fd >= 0)
		fds[count++] = plan->system.fd;
	for (size_t i = 0; i < plan->bind_count; i++)
		fds[count++] = plan->binds[i].fd;
	return count;
}

/* What is too long for a packet goes as a memory file before the others. */
static int send_file(int control, const struct buffer *bytes, int *fds, size_t count)
{
	owned_fd fd = memfd_create("cupel-order", MFD_CLOEXEC);
	int rc = fd < 0 ? -errno : fd_write_all(fd, bytes->data, bytes->length);

	memmove(fds + 1, fds, count * sizeof(*fds));
	fds[0] = fd;
	return rc < 0 ? rc : packet_send(control, "o", 1, fds, count + 1);
}

int order_send(int control, const struct plan *plan)
{
	owned_buffer bytes = {0};
	struct writer w = {0};
	int fds[PACKET_FDS_MAX], rc;
	size_t count = list_fds(plan, fds);

	put_all(&w, plan);
	bytes = w.bytes;
	if (w.rc < 0)
		return w.rc;
	rc = bytes.length > PACKET_MAX ? -EMSGSIZE
				       : packet_send(control, bytes.data, bytes.length, fds, count);
	/* The host's bound of packets may be lower, too (net.core.wmem_default). */
	return rc == -EMSGSIZE ? send_file(control, &bytes, fds, count) : rc;
}

/* The same walk as list_fds(). */
static bool take_fds(struct plan *plan, const int *fds, size_t count)
{
	size_t wanted = 3 + (plan->worktree.fd >= 0) + (plan->system.fd >= 0) + plan->bind_count;

	if (count != wanted)
		return false;
	plan->input = *fds++;
	plan->output = *fds++;
	plan->error = *fds++;
	if (plan->worktree.fd >= 0)
		plan->worktree.fd = *fds++;
	if (plan->system.fd >= 0)
		plan->system.fd = *fds++;
	for (size_t i = 0; i < plan->bind_count; i++)
		plan->binds[i].fd = *fds++;
	return true;
}

static void *at(struct head *head, size_t offset)
{
	return offset ? (char *)head + offset : NULL;
}

/* Turns the offsets of a table into pointers, where they stand. */
static char **strings(struct head *head, size_t offset)
{
	size_t *table = (size_t *)(void *)((char *)head + offset);
	char **list = (char **)(void *)table;

	for (size_t i = 0; table[i]; i++)
		list[i] = (char *)head + table[i];
	return list;
}

static void point(struct head *head)
{
	struct plan *plan = &head->plan;
	struct source *binds = (struct source *)(void *)((char *)head + head->binds);

	head->filter.loud.filter = at(head, head->loud);
	head->filter.quiet.filter = at(head, head->quiet);
	plan->workdir = at(head, head->workdir);
	head->spec.hostname = at(head, head->hostname);
	plan->spec = &head->spec;
	plan->filter = &head->filter;
	plan->argv = (const char **)strings(head, head->argv);
	plan->env = strings(head, head->env);
	plan->path = at(head, head->path);
	plan->worktree.path = at(head, head->worktree);
	plan->worktree.target = SANDBOX_WORKTREE;
	plan->system.path = at(head, head->system);
	plan->binds = binds;
	for (size_t i = 0; i < plan->bind_count; i++) {
		binds[i].target = at(head, (size_t)binds[i].target);
		binds[i].path = at(head, (size_t)binds[i].path);
	}
}

static struct head *map(int fd)
{
	struct stat st;
	void *bytes;

	if (fstat(fd, &st) < 0 || st.st_size < (off_t)sizeof(struct head))
		return NULL;
	bytes = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	(void)close(fd);
	return bytes == MAP_FAILED ? NULL : bytes;
}

static void adopt(struct plan *plan, const struct plan *order)
{
	struct plan born = *plan;

	*plan = *order;
	plan->control = born.control;
	plan->go = born.go;
	plan->root = born.root;
	plan->store = born.store;
	plan->born_bytes = born.private_bytes;
	plan->born_inodes = born.private_inodes;
	plan->landlock = born.landlock;
	plan->landlock_writes = born.landlock_writes;
	plan->listener = born.listener;
	plan->birth = born.birth;
	plan->waits = born.waits;
	if (born.birth == BIRTH_READY)
		plan->filter = born.filter;
	plan->network_ready = born.network_ready;
	plan->title = born.title;
	plan->title_length = born.title_length;
	plan->failure = born.failure;
}

int order_receive(struct plan *plan)
{
	static _Alignas(struct head) char packet[PACKET_MAX];
	int all[PACKET_FDS_MAX], *fds = all;
	size_t count;
	ssize_t n = packet_receive(plan->control, INT64_MAX, packet, sizeof(packet), all, &count);
	struct head *head = (struct head *)(void *)packet;

	if (n <= 0)
		return n < 0 ? (int)n : -ESHUTDOWN;
	if (n == 1 && count) {
		head = map(*fds++);
		count--;
	}
	if (!head || (n > 1 && (size_t)n < sizeof(*head)))
		return -EPROTO;
	point(head);
	if (!take_fds(&head->plan, fds, count))
		return -EPROTO;
	adopt(plan, &head->plan);
	return 0;
}

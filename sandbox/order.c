#include "sandbox/order.h"

#include "base/buffer.h"
#include "base/fd.h"
#include "base/owned.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

/* First in the file; whatever else there is has its place told here, from the file's start. */
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
	head.loud = put_filter(w, &plan->filter->loud);
	head.quiet = put_filter(w, &plan->filter->quiet);
	head.workdir = put_string(w, plan->workdir);
	head.hostname = put_string(w, plan->spec->hostname);
	head.worktree = put_string(w, plan->worktree.path);
	head.system = put_string(w, plan->system.path);
	if (w->rc == 0)
		memcpy(w->bytes.data, &head, sizeof(head));
}

int order_write(const struct plan *plan)
{
	owned_buffer bytes = {0};
	struct writer w = {0};
	owned_fd fd = memfd_create("cupel-order", MFD_CLOEXEC);
	int rc = fd < 0 ? -errno : 0;

	put_all(&w, plan);
	bytes = w.bytes;
	if (rc == 0)
		rc = w.rc ? w.rc : fd_write_all(fd, bytes.data, bytes.length);
	return rc < 0 ? rc : give_fd(&fd);
}

size_t order_fds(const struct plan *plan, int *fds)
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

/* The same walk as order_fds(). */
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

int order_read(const int *fds, size_t count, struct plan *plan)
{
	struct plan born = *plan;
	struct head *head;
	struct stat st;

	if (count < 1 || fstat(fds[0], &st) < 0 || st.st_size < (off_t)sizeof(*head))
		return -EPROTO;
	head = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fds[0], 0);
	(void)close(fds[0]);
	if (head == MAP_FAILED)
		return -errno;
	point(head);
	if (!take_fds(&head->plan, fds + 1, count - 1))
		return -EPROTO;
	*plan = head->plan;
	plan->control = born.control;
	plan->go = born.go;
	plan->root = born.root;
	plan->store = born.store;
	plan->born_bytes = born.private_bytes;
	plan->born_inodes = born.private_inodes;
	plan->landlock = born.landlock;
	plan->landlock_writes = born.landlock_writes;
	plan->birth = born.birth;
	plan->network_ready = born.network_ready;
	plan->title = born.title;
	plan->title_length = born.title_length;
	plan->failure = born.failure;
	return 0;
}

#include "sandbox/launcher.h"

#include "base/clock.h"
#include "base/fd.h"
#include "sandbox/birth.h"
#include "sandbox/launcher_talk.h"
#include "sandbox/sys.h"
#include "sandbox/turn.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>

/* While jobs run that were started in a row: none is made ready before it is over, and then no more
 * than one at a time. */
#define REFILL_AFTER_MS 20
#define REFILL_EACH_MS  5
#define REFILL_RETRY_MS 1000

/* Asks for a first process with that control socket's other end, in these groups. */
static int ask_birth(struct sandbox_launcher *l, struct first *b, struct resident_ask *q,
		     const struct cgroup *cg, int network, struct error *err)
{
	int control[2], fds[3 + CGROUP_DOORS_MAX], rc;
	size_t count = 0, doors = 0;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, control) < 0)
		return error_set(err, errno, "make the job's control socket");
	b->control = control[0];
	q->word = ASK_BIRTH;
	q->id = b->id;
	q->has_group = cgroup_birth(cg) >= 0;
	q->has_network = network >= 0;
	q->outside = birth_stays_outside();
	fds[count++] = control[1];
	if (q->has_group)
		fds[count++] = cgroup_birth(cg);
	if (q->has_network)
		fds[count++] = network;
	rc = cgroup_doors(cg, fds + count, &doors, err);
	if (rc == 0)
		rc = talk_ask(l, q, fds, count + doors, err);
	while (doors)
		(void)close(fds[count + --doors]);
	(void)close(control[1]);
	return rc;
}

static unsigned waiting(const struct sandbox_launcher *l)
{
	unsigned count = 0;

	for (const struct first *b = l->births; b; b = b->next)
		count += b->cg != NULL;
	return count;
}

/* Made ahead, and as this plan wants it. */
static bool fits(const struct first *b, const struct plan *plan)
{
	const struct sandbox_spec *spec = plan->spec;

	return b->cg && b->profile == spec->profile && b->deny == plan->deny &&
	       ids_same(&b->ids, &plan->ids) && template_is(b->stamp) &&
	       cgroup_serves(b->cg, spec->cgroup_parent, &spec->limits);
}

static bool may_wait(const struct plan *plan)
{
	const struct sandbox_spec *spec = plan->spec;

	return template_serves(plan) && !spec->name && !spec->network_open && !init_fault.step &&
	       !cgroup_names_disks(&spec->limits);
}

/* Its groups may hold these limits already: they were the last job's. */
static int prepare(struct first *b, const struct sandbox_limits *limits, struct error *err)
{
	int rc;

	if (memcmp(&b->limits, limits, sizeof(*limits)) == 0)
		return 0;
	rc = cgroup_prepare(b->cg, limits, err);
	if (rc == 0)
		b->limits = *limits; /* else it is to be freed: who knows what it holds */
	return rc;
}

/* Has it anything to say before it has an order, it died; what wasn't born, or was lost on its way
 * here, is no use. */
static bool lives(const struct first *b)
{
	struct pollfd wait[] = {{.fd = b->control, .events = POLLIN},
				{.fd = b->pidfd, .events = POLLIN}};

	return b->code == 0 && poll(wait, 2, 0) == 0;
}

/* One that waits and fits; NULL. The oldest gives way when none does, and the dead do. */
static struct first *find_ready(struct sandbox_launcher *l, const struct plan *plan)
{
	struct first *next, *oldest = NULL;

	for (struct first *b = l->births; b; b = next) {
		next = b->next;
		if (!b->cg)
			continue;
		if (!lives(b))
			first_free(l, first_take(l, b));
		else if (fits(b, plan))
			return first_take(l, b);
		else if (!oldest)
			oldest = b;
	}
	if (oldest && waiting(l) >= l->ready_wanted)
		first_free(l, first_take(l, oldest));
	return NULL;
}

/* One whose groups hold the limits; NULL. */
static struct first *take_ready(struct sandbox_launcher *l, const struct plan *plan)
{
	struct first *b = may_wait(plan) ? find_ready(l, plan) : NULL;

	if (!b || prepare(b, &plan->spec->limits, NULL) == 0)
		return b;
	first_free(l, b); /* it holds some of them; the next attempt tells why not all */
	return NULL;
}

/* One that was asked for: it ends when it finds its order will not come. */
static void abandon(struct sandbox_launcher *l, struct first *b)
{
	(void)close(b->control);
	b->control = -1;
	b->forgotten = true;
	first_add(l, b);
}

/* Whoever owns their parent may have removed them; and where no job comes any more they go. */
static void drop_unfit_spare(struct sandbox_launcher *l, const struct sandbox_spec *spec)
{
	if (l->spare && (!cgroup_stands(l->spare) ||
			 !cgroup_serves(l->spare, spec->cgroup_parent, &spec->limits)))
		graves_add(&l->graves, give(l->spare));
}

static int give_groups(struct sandbox_launcher *l, const struct plan *plan, struct first *b,
		       struct error *err)
{
	const struct sandbox_spec *spec = plan->spec;

	if (spec->name || cgroup_names_disks(&spec->limits))
		return cgroup_make(plan, &b->cg, err);
	drop_unfit_spare(l, spec);
	if (!l->spare)
		return cgroup_make(plan, &b->cg, err);
	b->cg = give(l->spare);
	b->limits = l->spare_limits;
	return 0;
}

static struct first *bear(struct sandbox_launcher *l, const struct plan *plan, struct error *err)
{
	const struct sandbox_spec *spec = plan->spec;
	struct resident_ask q = {.ids = plan->ids,
				 .birth = plan->birth,
				 .profile = spec->profile,
				 .deny = plan->deny,
				 .network = spec->network,
				 .private_bytes = plan->private_bytes,
				 .private_inodes = plan->private_inodes,
				 .fault = init_fault};
	struct first *b = first_new(l);
	bool ahead = spec->network == SANDBOX_NETWORK_NONE && spec->network_open;

	if (!b) {
		(void)error_set(err, ENOMEM, "start a sandbox");
		return NULL;
	}
	if (give_groups(l, plan, b, err) < 0 ||
	    ask_birth(l, b, &q, b->cg, ahead ? spec->network_fd : -1, err) < 0) {
		first_free(l, b);
		return NULL;
	}
	/* While it is born: what it does before it has its order is ours. */
	if (prepare(b, &spec->limits, err) < 0) {
		abandon(l, b);
		return NULL;
	}
	return b;
}

/* A user's directory is found again by the launcher, who may make a mount of it. */
static int detach(struct sandbox_launcher *l, struct source *s, struct error *err)
{
	struct resident_ask q = {.word = ASK_DETACH,
				 .id = ++l->last_id,
				 .writable = s->writable,
				 .device = s->device,
				 .inode = s->inode};
	struct resident_answer a;
	int fd = -1, rc;

	if (s->fd < 0 || s->detached)
		return 0;
	(void)snprintf(q.path, sizeof(q.path), "%s", s->path);
	rc = talk_ask(l, &q, &s->fd, 1, err);
	if (rc == 0)
		rc = talk_await(l, q.id, &a, &fd, err);
	if (rc < 0)
		return rc;
	(void)close(s->fd);
	s->fd = fd;
	s->detached = true;
	return 0;
}

static void remember(struct sandbox_launcher *l, const struct plan *plan)
{
	const char *parent = plan->spec->cgroup_parent;

	if (!may_wait(plan))
		return;
	l->has_model = true;
	l->profile = plan->spec->profile;
	l->deny = plan->deny;
	l->model_ids = plan->ids;
	l->model = plan->spec->limits;
	l->private_bytes = plan->private_bytes;
	l->private_inodes = plan->private_inodes;
	if (!parent || !l->parent || strcmp(parent, l->parent) != 0) {
		free(l->parent);
		l->parent = parent ? strdup(parent) : NULL;
	}
}

int launcher_birth(struct sandbox_launcher *l, struct plan *plan, struct cgroup **cg,
		   struct launched *out, struct error *err)
{
	struct first *b;
	int rc;

	if (l->owner != getpid() || l->user != geteuid())
		return error_say(err, EPERM,
				 "a launcher serves the process and the user that made it, not its "
				 "forks");
	talk_hear_all(l);
	rc = template_serves(plan) ? detach(l, &plan->worktree, err) : 0;
	if (rc < 0)
		return rc;
	plan->birth = template_serves(plan) ? BIRTH_READY : BIRTH_PLAIN;
	remember(l, plan);
	b = take_ready(l, plan);
	if (!b)
		b = bear(l, plan, err);
	if (!b)
		return err ? -err->code : -EIO;
	out->control = give_fd(&b->control);
	out->birth = b->id;
	*cg = give(b->cg);
	b->next = l->births;
	l->births = b;
	return 0;
}

void launcher_forget(struct sandbox_launcher *l, const struct launched *job)
{
	struct first *b = job->birth ? first_find(l, job->birth) : NULL;

	if (b && b->answered)
		first_free(l, first_take(l, b));
	else if (b)
		b->forgotten = true;
}

int launcher_await(struct sandbox_launcher *l, struct launched *out, struct error *err)
{
	struct first *b = first_find(l, out->birth);
	int64_t until = clock_boot_ms() + ANSWER_MS;
	int rc = 0;

	while (rc == 0 && !b->answered) {
		struct resident_answer a;
		int fd;

		rc = talk_hear(l, until, &a, &fd, err);
		if (rc == 0)
			talk_note(l, &a, fd);
	}
	if (rc < 0)
		return rc; /* who is born after all is killed: launcher_forget() */
	out->pidfd = give_fd(&b->pidfd);
	rc = b->code ? error_set(err, b->code, "%s", b->text) : 0;
	first_free(l, first_take(l, b));
	return rc;
}

/* Groups that hold what the last job's did. */
static int make_model_groups(const struct sandbox_launcher *l, struct cgroup **out)
{
	const struct sandbox_spec spec = {.limits = l->model, .cgroup_parent = l->parent};
	const struct plan plan = {.spec = &spec, .worktree = SOURCE_NONE, .system = SOURCE_NONE};
	int rc = cgroup_new(&plan, out, NULL);

	if (rc == 0)
		cgroup_open_ahead(*out);
	return rc;
}

/* What waits holds a dozen descriptors or more, and leaves half of them to what runs. */
static bool has_room(const struct sandbox_launcher *l)
{
	int lowest = fcntl(l->socket, F_DUPFD_CLOEXEC, 0);
	struct rlimit files;

	if (lowest >= 0)
		(void)close(lowest);
	return lowest >= 0 && getrlimit(RLIMIT_NOFILE, &files) == 0 &&
	       (rlim_t)lowest < files.rlim_cur / 2;
}

static int make_ready(struct sandbox_launcher *l)
{
	struct resident_ask q = {.ids = l->model_ids,
				 .birth = BIRTH_READY,
				 .waits = true,
				 .profile = l->profile,
				 .deny = l->deny,
				 .private_bytes = l->private_bytes,
				 .private_inodes = l->private_inodes};
	struct first *b = has_room(l) ? first_new(l) : NULL;
	int rc = b ? make_model_groups(l, &b->cg) : -EMFILE;

	if (rc == 0) {
		b->ids = l->model_ids;
		b->profile = l->profile;
		b->deny = l->deny;
		b->stamp = template_stamp();
		b->limits = l->model;
		rc = ask_birth(l, b, &q, b->cg, -1, NULL);
	}
	if (rc == 0)
		first_add(l, b);
	else if (b)
		first_free(l, b);
	return rc;
}

/* Where no whole sandbox waits. */
static void keep_spare(struct sandbox_launcher *l)
{
	if (l->spare || l->ready_wanted || !l->has_model)
		return;
	if (make_model_groups(l, &l->spare) == 0)
		l->spare_limits = l->model;
}

void launcher_bury(struct sandbox_launcher *l, struct cgroup *cg)
{
	if (l->owner == getpid())
		graves_add(&l->graves, cg);
	else
		cgroup_forget(cg);
}

static void say(struct sandbox_launcher *l, const struct resident_ask *q)
{
	if (l->owner == getpid())
		(void)talk_ask(l, q, NULL, 0, NULL); /* that it died shows elsewhere */
}

void launcher_reap(struct sandbox_launcher *l)
{
	say(l, &(struct resident_ask){.word = ASK_REAP});
}

static unsigned missing(const struct sandbox_launcher *l)
{
	unsigned ready = waiting(l);

	return l->has_model && ready < l->ready_wanted ? l->ready_wanted - ready : 0;
}

void launcher_join(struct sandbox_launcher *l)
{
	l->running++;
}

/* A burst of starts is one as long as they follow each other. */
void launcher_runs(struct sandbox_launcher *l)
{
	l->refill_at = clock_boot_ms() + REFILL_AFTER_MS;
}

static void tidy(struct sandbox_launcher *l, bool later)
{
	l->untidy = later;
	say(l, &(struct resident_ask){.word = ASK_TIDY, .later = later});
}

/* Where some wait more jobs may start in a row than can be tidied up behind meanwhile. Otherwise it
 * is cheapest at once: what was freed is used again while it is in the processor's cache. */
void launcher_part(struct sandbox_launcher *l)
{
	l->running--;
	tidy(l, waiting(l) > 0);
}

void launcher_tend(struct sandbox_launcher *l)
{
	unsigned most = l->running ? 1 : UINT_MAX;

	if (l->owner != getpid())
		return;
	talk_hear_all(l);
	if (l->untidy && !l->running)
		tidy(l, false);
	graves_tend(&l->graves);
	/* What can't be made now is made when it is needed, and told then. */
	for (unsigned n = missing(l); n && most && make_ready(l) == 0; n--)
		most--;
	keep_spare(l);
}

static void make_one(struct sandbox_launcher *l, int64_t now)
{
	talk_hear_all(l);
	l->refill_at = now + (make_ready(l) == 0 ? REFILL_EACH_MS : REFILL_RETRY_MS);
	graves_tend(&l->graves); /* of one that could not be made, too: they hold descriptors */
}

int64_t launcher_refill(struct sandbox_launcher *l, int64_t now)
{
	if (!l->ready_wanted || l->owner != getpid() || !missing(l))
		return 0;
	if (now < l->refill_at)
		return l->refill_at;
	if (turn_try()) {
		make_one(l, now);
		turn_end();
	} else {
		l->refill_at = now + REFILL_EACH_MS;
	}
	return missing(l) ? l->refill_at : 0;
}

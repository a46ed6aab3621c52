#include "proto/link_inside.h"

#include "base/clock.h"
#include "base/log.h"

#include <fcntl.h>
#include <libgen.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define BACKLOG     4096
#define ACCEPT_TURN 64   /* connections in one round of the loop */
#define SHAKING_MAX 1000 /* handshakes at a time; more wait in the kernel's queue */
#define SHAKE_MS    1000 /* a handshake has to itself, then it gives way where there are so many */
#define REST_MS     500  /* without accepting, when nothing more can be held */
#define COMPLAIN_MS 10000

TAILQ_HEAD(links, link);

struct link_listener {
	struct event_base *base; /* borrowed */
	struct link_listen how;
	struct link_address address;
	int fd;
	struct event readable, rest;
	struct link_tls_server *tls; /* NULL: a unix socket */
	struct links shaking;
	size_t shaking_count;
	dev_t device; /* of the unix socket that we made */
	ino_t inode;
	int64_t complained_ms;
	unsigned complaints; /* since then */
};

/* --- accepting ---------------------------------------------------------- */

static void complain(struct link_listener *s, const char *from, const char *what)
{
	int64_t now = clock_boot_ms();

	s->complaints++;
	if (s->complained_ms && now - s->complained_ms < COMPLAIN_MS)
		return;
	if (s->complaints > 1)
		log_warning("%s: %s (and %u more since the last such line)", from, what,
			    s->complaints - 1);
	else
		log_warning("%s: %s", from, what);
	s->complained_ms = now;
	s->complaints = 0;
}

/* NULL when it can't be had. */
static char *address_of(int fd)
{
	struct sockaddr_storage a;
	socklen_t length = sizeof(a);
	char host[64], port[8], *text = NULL;

	if (getpeername(fd, (struct sockaddr *)&a, &length) == 0 &&
	    getnameinfo((struct sockaddr *)&a, length, host, sizeof(host), port, sizeof(port),
			NI_NUMERICHOST | NI_NUMERICSERV) == 0)
		return asprintf(&text, "%s port %s", host, port) < 0 ? NULL : text;
	return NULL;
}

static bool is_full(const struct link_listener *s)
{
	return s->shaking_count >= SHAKING_MAX &&
	       clock_boot_ms() - TAILQ_FIRST(&s->shaking)->accepted_at_ms < SHAKE_MS;
}

static void rest(struct link_listener *s)
{
	static const struct timeval time = {0, REST_MS * 1000};

	event_del(&s->readable);
	(void)event_add(&s->rest, &time); /* fails only without memory */
}

static void arm(struct link_listener *s)
{
	if (is_full(s))
		rest(s);
	else
		(void)event_add(&s->readable, NULL); /* as above */
}

static void forget(struct link_listener *s, struct link *l)
{
	TAILQ_REMOVE(&s->shaking, l, entry);
	s->shaking_count--;
	arm(s);
}

void link_listener_ready(struct link_listener *s, struct link *l)
{
	free(give(l->from));
	forget(s, l);
	if (!s->how.accept(s->how.context, l))
		link_free(l);
}

void link_listener_failed(struct link_listener *s, struct link *l)
{
	complain(s, l->from ? l->from : "a peer", l->reason);
	forget(s, l);
	link_free(l);
}

/* Connections that say nothing cost their maker nothing: they don't keep others out. */
static void oldest_gives_way(struct link_listener *s)
{
	struct link *oldest = TAILQ_FIRST(&s->shaking);

	complain(s, oldest->from ? oldest->from : "a peer",
		 "its handshake wasn't done, and others wait");
	forget(s, oldest);
	link_free(oldest);
}

static int identify(int fd, struct link_peer *peer)
{
	struct ucred who;
	socklen_t length = sizeof(who);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &length) < 0)
		return -errno;
	peer->local = true;
	peer->uid = who.uid;
	peer->pid = who.pid;
	return 0;
}

void link_keep_alive(int fd)
{
	const int on = 1, idle = 30, interval = 10, count = 3; /* dead after a minute */

	/* Comfort, all of it: a connection without is still one. */
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof(interval));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof(count));
}

/* A peer over a unix socket is known at once, one over TLS when the handshake is done. */
static int welcome(struct link_listener *s, int *fd)
{
	owned(link) *l = link_new(s->base);
	owned(link_tls) *tls = NULL;
	int rc;

	if (!l)
		return -ENOMEM;
	if (s->tls)
		link_keep_alive(*fd);
	rc = s->tls ? link_tls_accept(s->tls, *fd, &tls) : identify(*fd, &l->peer);
	if (rc < 0)
		return rc;
	rc = link_attach(l, give_fd(fd), give(tls));
	if (rc < 0)
		return rc;
	link_deadline(l, LINK_PATIENCE_MS);
	l->from = s->tls ? address_of(l->fd) : NULL;
	l->listener = s;
	l->accepted_at_ms = clock_boot_ms();
	if (s->shaking_count >= SHAKING_MAX)
		oldest_gives_way(s);
	TAILQ_INSERT_TAIL(&s->shaking, l, entry);
	s->shaking_count++;
	(void)give(l); /* the list's now */
	return 0;
}

static void on_connection(evutil_socket_t listening, short what, void *context)
{
	struct link_listener *s = context;

	(void)what;
	for (unsigned i = 0; i < ACCEPT_TURN && !is_full(s); i++) {
		owned_fd fd = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		int rc = fd < 0 ? -errno : welcome(s, &fd);

		if (rc == -EAGAIN)
			break;
		if (rc == -EMFILE || rc == -ENFILE || rc == -ENOMEM || rc == -ENOBUFS) {
			log_error("no more connections: %s; raise the limit of open files",
				  strerror(-rc));
			rest(s);
			return;
		}
	}
	arm(s);
}

static void on_rested(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	arm(context);
}

/* --- a unix socket ------------------------------------------------------ */

int link_unix_address(const char *path, struct sockaddr_un *out)
{
	*out = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof(out->sun_path))
		return -ENAMETOOLONG;
	strcpy(out->sun_path, path);
	return 0;
}

/* Removes a socket that nobody answers on. */
static int clear_stale(const char *path, const struct sockaddr_un *a, struct error *err)
{
	owned_fd probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct stat st;

	if (probe < 0)
		return error_set(err, errno, "listen on %s", path);
	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : error_set(err, errno, "listen on %s", path);
	if (!S_ISSOCK(st.st_mode))
		return error_say(
			err, EEXIST,
			"listen on %s: something else than a socket is there; move it away "
			"or choose another path",
			path);
	if (connect(probe, (const struct sockaddr *)a, sizeof(*a)) == 0 || errno != ECONNREFUSED)
		return error_say(err, EADDRINUSE,
				 "listen on %s: another process answers there; stop it or choose "
				 "another path",
				 path);
	return unlink(path) < 0 ? error_set(err, errno, "remove the stale socket %s", path) : 0;
}

/* Keeps others who start at the same time out, between the look at a socket and its replacement. */
static int lock_directory(const char *path, struct error *err)
{
	char copy[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
	owned_fd dir = -1;

	strcpy(copy, path);
	dir = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return error_set(err, errno, "listen on %s: open its directory", path);
	if (flock(dir, LOCK_EX | LOCK_NB) < 0)
		return error_say(err, EADDRINUSE,
				 "listen on %s: another process is starting there right now", path);
	return give_fd(&dir);
}

static int listen_unix(struct link_listener *s, mode_t mode, struct error *err)
{
	const char *path = s->address.path;
	owned_fd fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	owned_fd lock = lock_directory(path, err);
	struct sockaddr_un a;
	struct stat st;
	int rc = link_unix_address(path, &a);

	if (fd < 0 || rc < 0)
		return error_set(err, fd < 0 ? errno : -rc, "listen on %s", path);
	if (lock < 0)
		return lock;
	rc = clear_stale(path, &a, err);
	if (rc < 0)
		return rc;
	/* First the inode's mode, which bind() keeps below, then the whole of it despite the umask:
	 * at no moment is it open to more than `mode`, and nobody connects before listen(). */
	if (fchmod(fd, mode) < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 ||
	    chmod(path, mode) < 0 || lstat(path, &st) < 0 || listen(fd, BACKLOG) < 0)
		return error_set(err, errno, "listen on %s", path);
	s->device = st.st_dev;
	s->inode = st.st_ino;
	s->fd = give_fd(&fd);
	return 0;
}

/* --- TCP ---------------------------------------------------------------- */

static int bind_tcp(const struct addrinfo *a, int *out)
{
	owned_fd fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	const int on = 1;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
	    bind(fd, a->ai_addr, a->ai_addrlen) < 0 || listen(fd, BACKLOG) < 0)
		return -errno;
	*out = give_fd(&fd);
	return 0;
}

static int listen_tcp(struct link_listener *s, struct error *err)
{
	const struct addrinfo hints = {.ai_flags = AI_PASSIVE, .ai_socktype = SOCK_STREAM};
	struct addrinfo *found;
	char name[300];
	int rc = getaddrinfo(s->address.host, s->address.port, &hints, &found);

	link_address_format(&s->address, name, sizeof(name));
	if (rc != 0)
		return error_say(err, EADDRNOTAVAIL, "listen on %s: %s", name, gai_strerror(rc));
	rc = bind_tcp(found, &s->fd);
	freeaddrinfo(found);
	if (rc == -EADDRINUSE)
		return error_say(err, EADDRINUSE,
				 "listen on %s: another process uses this port; stop it or choose "
				 "another port",
				 name);
	if (rc == -EACCES)
		return error_say(err, EACCES,
				 "listen on %s: ports below 1024 need the right to them; choose a "
				 "higher one",
				 name);
	if (rc < 0)
		return error_set(err, -rc, "listen on %s", name);
	rc = link_tls_server_new(&s->how, &s->tls);
	return rc < 0 ? error_set(err, -rc, "listen on %s: set up TLS", name) : 0;
}

/* --- life --------------------------------------------------------------- */

int link_listen(struct event_base *base, const struct link_address *address, mode_t mode,
		const struct link_listen *how, struct link_listener **out, struct error *err)
{
	owned(link_listener) *s = calloc(1, sizeof(*s));
	int rc;

	if (!s)
		return error_set(err, ENOMEM, "listen");
	TAILQ_INIT(&s->shaking);
	s->base = base;
	s->fd = -1;
	s->how = *how;
	s->address = *address;
	event_assign(&s->rest, base, -1, 0, on_rested, s);
	event_assign(&s->readable, base, -1, EV_READ | EV_PERSIST, on_connection, s);
	rc = *address->path ? listen_unix(s, mode, err) : listen_tcp(s, err);
	if (rc < 0)
		return rc;
	event_assign(&s->readable, base, s->fd, EV_READ | EV_PERSIST, on_connection, s);
	if (event_add(&s->readable, NULL) < 0)
		return error_set(err, ENOMEM, "listen");
	*out = give(s);
	return 0;
}

unsigned link_listener_port(const struct link_listener *s)
{
	struct sockaddr_storage a = {0};
	socklen_t length = sizeof(a);

	if (getsockname(s->fd, (struct sockaddr *)&a, &length) < 0)
		return 0;
	if (a.ss_family == AF_INET6)
		return ntohs(((struct sockaddr_in6 *)&a)->sin6_port);
	return a.ss_family == AF_INET ? ntohs(((struct sockaddr_in *)&a)->sin_port) : 0;
}

void link_listener_free(struct link_listener *s)
{
	struct stat st;

	if (!s)
		return;
	while (!TAILQ_EMPTY(&s->shaking)) {
		struct link *l = TAILQ_FIRST(&s->shaking);

		TAILQ_REMOVE(&s->shaking, l, entry);
		link_free(l);
	}
	event_del(&s->readable);
	event_del(&s->rest);
	/* Only our own: a successor may have put its socket there. */
	if (s->inode && lstat(s->address.path, &st) == 0 && st.st_dev == s->device &&
	    st.st_ino == s->inode)
		(void)unlink(s->address.path); /* a stale one does no harm */
	if (s->fd >= 0)
		(void)close(s->fd);
	link_tls_server_free(s->tls);
	free(s);
}

/* What the kernel offers to ordinary programs, each tried once: `ok NAME`, or `FAILED NAME: errno`
 * and status 1. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/sendfile.h>
#include <sys/shm.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#define THREADS 8
#define ROUNDS  20000

static int made(const char *path)
{
	return open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
}

static int posix_shm(void)
{
	int fd = shm_open("/cupel-test", O_RDWR | O_CREAT | O_EXCL, 0600);
	char *at;

	if (fd < 0 || ftruncate(fd, 1 << 20) < 0)
		return -1;
	at = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (at == MAP_FAILED)
		return -1;
	memset(at, 7, 1 << 20);
	return shm_unlink("/cupel-test");
}

static int sysv_shm(void)
{
	int id = shmget(IPC_PRIVATE, 1 << 20, IPC_CREAT | 0600);
	char *at = id < 0 ? NULL : shmat(id, NULL, 0);

	if (!at || at == (char *)-1)
		return -1;
	at[99] = 1;
	return shmdt(at) < 0 ? -1 : shmctl(id, IPC_RMID, NULL);
}

static int sysv_semaphores(void)
{
	int id = semget(IPC_PRIVATE, 2, IPC_CREAT | 0600);
	struct sembuf up = {.sem_op = 1}, down = {.sem_op = -1};

	if (id < 0 || semop(id, &up, 1) < 0 || semop(id, &down, 1) < 0)
		return -1;
	return semctl(id, 0, IPC_RMID);
}

static int sysv_messages(void)
{
	struct {
		long type;
		char text[8];
	} out = {1, "hello"}, in = {0};
	int id = msgget(IPC_PRIVATE, IPC_CREAT | 0600);

	if (id < 0 || msgsnd(id, &out, sizeof(out.text), 0) < 0 ||
	    msgrcv(id, &in, sizeof(in.text), 1, 0) < 0 || strcmp(in.text, "hello") != 0)
		return -1;
	return msgctl(id, IPC_RMID, NULL);
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static long counted;

static void *count(void *unused)
{
	(void)unused;
	for (int i = 0; i < ROUNDS; i++) {
		pthread_mutex_lock(&lock);
		counted++;
		pthread_mutex_unlock(&lock);
	}
	return NULL;
}

static int futexes(void)
{
	pthread_t threads[THREADS];

	for (int i = 0; i < THREADS; i++)
		if ((errno = pthread_create(&threads[i], NULL, count, NULL)) != 0)
			return -1;
	for (int i = 0; i < THREADS; i++)
		(void)pthread_join(threads[i], NULL);
	return counted == (long)THREADS * ROUNDS ? 0 : -1;
}

static int robust_mutexes(void)
{
	pthread_mutexattr_t attr;
	pthread_mutex_t *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
				       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t child;

	if (shared == MAP_FAILED)
		return -1;
	(void)pthread_mutexattr_init(&attr);
	(void)pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	(void)pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	(void)pthread_mutex_init(shared, &attr);
	child = fork();
	if (child == 0) {
		(void)pthread_mutex_lock(shared);
		_exit(0);
	}
	(void)waitpid(child, NULL, 0);
	errno = pthread_mutex_lock(shared);
	return errno == EOWNERDEAD ? 0 : -1;
}

static int inotify(void)
{
	char event[512];
	int fd = inotify_init1(IN_CLOEXEC);

	if (fd < 0 || inotify_add_watch(fd, ".", IN_CREATE) < 0 || made("watched") < 0)
		return -1;
	return read(fd, event, sizeof(event)) > 0 ? 0 : -1;
}

static int timers_and_epoll(void)
{
	struct itimerspec soon = {.it_value = {.tv_nsec = 1000000}};
	struct epoll_event event = {.events = EPOLLIN};
	int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
	int poll = epoll_create1(EPOLL_CLOEXEC);

	if (timer < 0 || poll < 0 || timerfd_settime(timer, 0, &soon, NULL) < 0 ||
	    epoll_ctl(poll, EPOLL_CTL_ADD, timer, &event) < 0)
		return -1;
	return epoll_wait(poll, &event, 1, 5000) == 1 ? 0 : -1;
}

static int signals_as_files(void)
{
	struct signalfd_siginfo info;
	sigset_t set;
	int fd;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGUSR1);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	fd = signalfd(-1, &set, SFD_CLOEXEC);
	if (fd < 0 || kill(getpid(), SIGUSR1) < 0)
		return -1;
	return read(fd, &info, sizeof(info)) == sizeof(info) ? 0 : -1;
}

static int events_as_files(void)
{
	uint64_t value = 3;
	int fd = eventfd(0, EFD_CLOEXEC);

	if (fd < 0 || write(fd, &value, sizeof(value)) < 0)
		return -1;
	return read(fd, &value, sizeof(value)) == sizeof(value) && value == 3 ? 0 : -1;
}

static int memory_as_files(void)
{
	int fd = memfd_create("cupel-test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	return fd < 0 || ftruncate(fd, 4096) < 0 ? -1 : fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE);
}

static int locks(void)
{
	struct flock range = {.l_type = F_WRLCK, .l_len = 10};
	int first = made("locked"), second = open("locked", O_RDWR | O_CLOEXEC);

	if (first < 0 || second < 0 || flock(first, LOCK_EX) < 0)
		return -1;
	if (flock(second, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK)
		return -1;
	if (fcntl(first, F_OFD_SETLK, &range) < 0)
		return -1;
	range.l_type = F_UNLCK;
	if (fcntl(first, F_OFD_SETLK, &range) < 0)
		return -1;
	range.l_type = F_WRLCK;
	return fcntl(first, F_SETLK, &range);
}

static int extended_attributes(void)
{
	char value[8] = "";
	int fd = made("attributed");

	if (fd < 0 || fsetxattr(fd, "user.cupel", "yes", 4, 0) < 0)
		return -1;
	return fgetxattr(fd, "user.cupel", value, sizeof(value)) == 4 ? 0 : -1;
}

static int unnamed_files(void)
{
	int fd = open(".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	char path[64];

	if (fd < 0)
		return -1;
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return linkat(AT_FDCWD, path, AT_FDCWD, "named", AT_SYMLINK_FOLLOW);
}

static int copies_by_the_kernel(void)
{
	int from = made("from"), to = made("to");

	if (from < 0 || to < 0 || posix_fallocate(from, 0, 65536) != 0)
		return -1;
	if (copy_file_range(from, NULL, to, NULL, 32768, 0) != 32768)
		return -1;
	return sendfile(to, from, NULL, 32768) == 32768 ? 0 : -1;
}

static int huge_sparse_files(void)
{
	struct stat st;
	int fd = made("sparse");

	if (fd < 0 || ftruncate(fd, 10LL << 30) < 0 || pwrite(fd, "x", 1, 9LL << 30) != 1)
		return -1;
	return fstat(fd, &st) == 0 && st.st_blocks < 1024 ? 0 : -1;
}

static const struct {
	const char *name;
	int (*run)(void);
} all[] = {
	{"posix_shm", posix_shm},
	{"sysv_shm", sysv_shm},
	{"sysv_semaphores", sysv_semaphores},
	{"sysv_messages", sysv_messages},
	{"futexes", futexes},
	{"robust_mutexes", robust_mutexes},
	{"inotify", inotify},
	{"timers_and_epoll", timers_and_epoll},
	{"signals_as_files", signals_as_files},
	{"events_as_files", events_as_files},
	{"memory_as_files", memory_as_files},
	{"locks", locks},
	{"extended_attributes", extended_attributes},
	{"unnamed_files", unnamed_files},
	{"copies_by_the_kernel", copies_by_the_kernel},
	{"huge_sparse_files", huge_sparse_files},
};

int main(void)
{
	int status = 0;

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		errno = 0;
		if (all[i].run() == 0) {
			printf("ok %s\n", all[i].name);
			continue;
		}
		printf("FAILED %s: %s\n", all[i].name, strerror(errno));
		status = 1;
	}
	return status;
}

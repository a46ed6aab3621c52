/* Sends itself a message by a POSIX queue. */
#include <fcntl.h>
#include <mqueue.h>
#include <stdio.h>

int main(void)
{
	struct mq_attr attr = {.mq_maxmsg = 4, .mq_msgsize = 16};
	mqd_t queue = mq_open("/cupel-test", O_RDWR | O_CREAT | O_EXCL, 0600, &attr);
	char text[16] = "";

	if (queue < 0) {
		perror("mq_open");
		return 1;
	}
	if (mq_send(queue, "hello", 6, 0) < 0 || mq_receive(queue, text, sizeof(text), NULL) < 0 ||
	    mq_unlink("/cupel-test") < 0) {
		perror("message");
		return 1;
	}
	return puts(text) < 0;
}

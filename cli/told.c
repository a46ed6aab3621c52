#include "cli/told.h"

#include "cli/escape.h"

int told(struct cli *cli, struct client *c, uint8_t type, const ProtobufCMessage *request)
{
	owned_buffer text = {0};
	struct error err = {0};
	ProtobufCMessage *m;
	int status;

	if (client_ask(c, type, request, FRAME_DONE, &m, &err) < 0)
		return cli_fail(cli, &err);
	if (cli->json)
		status = cli_print_json(cli, m, 0);
	else if (escape_text(&text, ((Cupel__Done *)m)->text) == 0 &&
		 buffer_append(&text, "\n", 1) == 0)
		status = cli_print(cli, &text, 0);
	else
		status = STATUS_FAILED; /* no memory to say more */
	message_free(m);
	return status;
}

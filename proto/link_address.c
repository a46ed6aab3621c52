#include "proto/link.h"

#include "base/buffer.h"
#include "base/fd.h"
#include "proto/text.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define TOKEN_HEAD     "cupel1:"
#define TOKEN_FILE_MAX 4096

static int parse_path(const char *path, struct link_address *out, struct error *err)
{
	if (!*path)
		return error_say(err, EINVAL, "'unix:' needs a path behind it");
	if (strlen(path) >= sizeof(out->path))
		return error_say(err, EINVAL,
				 "'%.120s...' is too long for a unix socket (at most %zu bytes); "
				 "choose a shorter directory",
				 path, sizeof(out->path) - 1);
	*out = (struct link_address){0};
	strcpy(out->path, path);
	return 0;
}

/* `port` is what stands behind the colon, NULL when there is none. */
static int parse_port(const char *text, const char *port, struct link_address *out,
		      struct error *err)
{
	size_t digits = port ? strspn(port, "0123456789") : 0;

	if (!port)
		(void)snprintf(out->port, sizeof(out->port), "%d", LINK_PORT); /* fits */
	else if (!digits || port[digits] || digits > 5 || atoi(port) > 65535)
		return error_say(err, EINVAL, "'%.200s': the port is not a number up to 65535",
				 text);
	else
		strcpy(out->port, port);
	return 0;
}

static int parse_host(const char *text, struct link_address *out, struct error *err)
{
	struct link_address a = {0};
	bool bracketed = *text == '[';
	const char *host = text + bracketed;
	size_t length = strcspn(host, bracketed ? "]" : ":");
	const char *rest = host + length + (bracketed && host[length] == ']');
	int rc;

	if (!length || length >= sizeof(a.host))
		return error_say(err, EINVAL, "'%.200s' is neither unix:PATH nor HOST:PORT", text);
	if ((bracketed && host[length] != ']') || (*rest && *rest != ':') ||
	    (!bracketed && *rest && strchr(rest + 1, ':')))
		return error_say(err, EINVAL,
				 "'%.200s' is not HOST:PORT (an IPv6 address stands in brackets: "
				 "[::1]:%d)",
				 text, LINK_PORT);
	memcpy(a.host, host, length);
	/* "unix" would be read as the other kind when it is written with a port. */
	if (!text_is_plain(a.host) || a.host[strcspn(a.host, " /@[]")] ||
	    strcmp(a.host, "unix") == 0)
		return error_say(err, EINVAL, "'%.200s' is not the name of a host", a.host);
	rc = parse_port(text, *rest ? rest + 1 : NULL, &a, err);
	if (rc == 0)
		*out = a;
	return rc;
}

int link_address_parse(const char *text, struct link_address *out, struct error *err)
{
	if (strncmp(text, "unix:", 5) == 0)
		return parse_path(text + 5, out, err);
	return parse_host(text, out, err);
}

void link_address_format(const struct link_address *address, char *out, size_t size)
{
	bool v6 = strchr(address->host, ':');

	if (*address->path)
		(void)snprintf(out, size, "unix:%s", address->path); /* cut when too long */
	else
		(void)snprintf(out, size, v6 ? "[%s]:%s" : "%s:%s", address->host, address->port);
}

/* --- tokens ------------------------------------------------------------- */

static int nibble(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool parse_secret(const char *hex, uint8_t out[LINK_SECRET])
{
	for (size_t i = 0; i < LINK_SECRET; i++) {
		int high = nibble(hex[2 * i]), low = high < 0 ? -1 : nibble(hex[2 * i + 1]);

		if (low < 0)
			return false;
		out[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

int link_token_parse(const char *text, struct link_token *out, struct error *err)
{
	struct link_token token = {0};
	const char *name, *secret;
	size_t length;
	int rc;

	if (strncmp(text, TOKEN_HEAD, strlen(TOKEN_HEAD)) != 0)
		return error_say(err, EINVAL, "a join token begins with '" TOKEN_HEAD "'");
	name = text + strlen(TOKEN_HEAD);
	length = strcspn(name, ":");
	if (!length || length > MESSAGE_NAME_MAX || name[length] != ':')
		return error_say(err, EINVAL, "the join token has no name, or it is cut off");
	memcpy(token.name, name, length);
	if (!text_is_plain(token.name))
		return error_say(err, EINVAL, "the join token's name is damaged");
	secret = name + length + 1;
	if (!parse_secret(secret, token.secret) || secret[2 * LINK_SECRET] != ':')
		return error_say(err, EINVAL, "the join token's secret is damaged or cut off");
	rc = link_address_parse(secret + 2 * LINK_SECRET + 1, &token.address, err);
	if (rc < 0)
		return error_prefix(err, "the join token's address");
	if (*token.address.path)
		return error_say(err, EINVAL, "the join token's address is not HOST:PORT");
	*out = token;
	return 0;
}

int link_token_format(const struct link_token *token, char *out, size_t size)
{
	char secret[2 * LINK_SECRET + 1], address[sizeof(token->address.host) + 16];
	int length;

	for (size_t i = 0; i < LINK_SECRET; i++)
		(void)snprintf(secret + 2 * i, 3, "%02x", token->secret[i]); /* fits */
	link_address_format(&token->address, address, sizeof(address));
	length = snprintf(out, size, TOKEN_HEAD "%s:%s:%s", token->name, secret, address);
	explicit_bzero(secret, sizeof(secret));
	return (size_t)length < size ? 0 : -ENAMETOOLONG;
}

int link_token_read(const char *path, struct link_token *out, struct error *err)
{
	owned_buffer text = {.max = TOKEN_FILE_MAX + 1};
	struct stat st;
	int rc = fd_read_file(AT_FDCWD, path, TOKEN_FILE_MAX, &text);

	if (rc < 0)
		return error_set(err, -rc, "read the join token %s", path);
	if (stat(path, &st) < 0)
		return error_set(err, errno, "read the join token %s", path);
	if (st.st_mode & 077)
		return error_say(err, EPERM,
				 "the join token %s can be read by others: chmod 600 it, or enroll "
				 "anew if others may have seen it",
				 path);
	text.data[strcspn(text.data, " \t\r\n")] = '\0';
	rc = link_token_parse(text.data, out, err);
	explicit_bzero(text.data, text.length);
	return rc < 0 ? error_prefix(err, "%s", path) : 0;
}

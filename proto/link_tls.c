#include "proto/link_tls.h"

#include "proto/text.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <string.h>
#include <sys/socket.h>

static const unsigned char suite[2] = {0x13, 0x01}; /* TLS_AES_128_GCM_SHA256 */

struct link_tls_server {
	SSL_CTX *context;
	const struct link_listen *how; /* borrowed */
	/* Stands in for the secret of a name that isn't known, so that such a handshake goes and
	 * ends exactly as one with a wrong secret. */
	uint8_t nobodys[LINK_SECRET];
};

struct link_tls {
	SSL *ssl;
	struct link_tls_server *server; /* borrowed; NULL when dialling */
	char name[MESSAGE_NAME_MAX + 1];
	uint8_t secret[LINK_SECRET];
	Cupel__Role role;
	bool wants_write;
};

/* --- the socket below: as OpenSSL's own, but without SIGPIPE ------------ */

static int below_write(BIO *bio, const char *bytes, int length)
{
	ssize_t n = send((int)(intptr_t)BIO_get_data(bio), bytes, (size_t)length, MSG_NOSIGNAL);

	BIO_clear_retry_flags(bio);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		BIO_set_retry_write(bio);
	return (int)n;
}

static int below_read(BIO *bio, char *bytes, int length)
{
	ssize_t n = recv((int)(intptr_t)BIO_get_data(bio), bytes, (size_t)length, 0);

	BIO_clear_retry_flags(bio);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		BIO_set_retry_read(bio);
	return (int)n;
}

static long below_control(BIO *bio, int command, long number, void *pointer)
{
	(void)bio;
	(void)number;
	(void)pointer;
	return command == BIO_CTRL_FLUSH;
}

static BIO *below_new(int fd)
{
	static BIO_METHOD *method; /* one for the process, as OpenSSL's own are */
	BIO *bio;

	if (!method) {
		method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "socket");
		if (!method)
			return NULL;
		(void)BIO_meth_set_write(method, below_write); /* these can't fail */
		(void)BIO_meth_set_read(method, below_read);
		(void)BIO_meth_set_ctrl(method, below_control);
	}
	bio = BIO_new(method);
	if (bio) {
		BIO_set_data(bio, (void *)(intptr_t)fd);
		BIO_set_init(bio, 1);
	}
	return bio;
}

/* --- keys --------------------------------------------------------------- */

static SSL_SESSION *session_of(SSL *ssl, const uint8_t secret[LINK_SECRET])
{
	const SSL_CIPHER *cipher = SSL_CIPHER_find(ssl, suite);
	SSL_SESSION *session = SSL_SESSION_new();

	if (session && cipher && SSL_SESSION_set1_master_key(session, secret, LINK_SECRET) &&
	    SSL_SESSION_set_cipher(session, cipher) &&
	    SSL_SESSION_set_protocol_version(session, TLS1_3_VERSION))
		return session;
	SSL_SESSION_free(session);
	return NULL;
}

static int on_find(SSL *ssl, const unsigned char *identity, size_t length, SSL_SESSION **out)
{
	struct link_tls *t = SSL_get_app_data(ssl);
	const struct link_listen *how = t->server->how;
	bool sane = length && length <= MESSAGE_NAME_MAX && !memchr(identity, 0, length);

	memset(t->name, 0, sizeof(t->name));
	if (sane)
		memcpy(t->name, identity, length);
	if (!sane || !text_is_plain(t->name) ||
	    !how->find(how->context, t->name, t->secret, &t->role))
		memcpy(t->secret, t->server->nobodys, LINK_SECRET);
	*out = session_of(ssl, t->secret);
	explicit_bzero(t->secret, LINK_SECRET);
	return *out != NULL;
}

static int on_use(SSL *ssl, const EVP_MD *digest, const unsigned char **identity, size_t *length,
		  SSL_SESSION **out)
{
	struct link_tls *t = SSL_get_app_data(ssl);

	/* A server may insist on another digest by a retry: then there is no key to offer. */
	if (digest && EVP_MD_get_type(digest) != NID_sha256)
		return 0;
	*identity = (const unsigned char *)t->name;
	*length = strlen(t->name);
	*out = session_of(ssl, t->secret);
	return *out != NULL;
}

static SSL_CTX *context_new(const SSL_METHOD *method)
{
	SSL_CTX *context = SSL_CTX_new(method);

	if (!context)
		return NULL;
	(void)SSL_CTX_set_options(context, SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION |
						   SSL_OP_NO_RENEGOTIATION);
	(void)SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE |
						SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
						SSL_MODE_RELEASE_BUFFERS);
	(void)SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_read_ahead(context, 1);
	SSL_CTX_set_verify(context, SSL_VERIFY_PEER,
			   NULL); /* there is nothing to verify: none passes */
	if (SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) &&
	    SSL_CTX_set_max_proto_version(context, TLS1_3_VERSION) &&
	    SSL_CTX_set_ciphersuites(context, "TLS_AES_128_GCM_SHA256") &&
	    SSL_CTX_set1_groups_list(context, "X25519:P-256") &&
	    SSL_CTX_set_num_tickets(context, 0))
		return context;
	SSL_CTX_free(context);
	return NULL;
}

/* --- an object's life --------------------------------------------------- */

int link_tls_server_new(const struct link_listen *how, struct link_tls_server **out)
{
	owned(link_tls_server) *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->how = how;
	s->context = context_new(TLS_server_method());
	if (!s->context || RAND_bytes(s->nobodys, LINK_SECRET) != 1)
		return -ENOMEM;
	SSL_CTX_set_verify(s->context, SSL_VERIFY_NONE, NULL); /* asks for no certificate */
	SSL_CTX_set_psk_find_session_callback(s->context, on_find);
	*out = give(s);
	return 0;
}

void link_tls_server_free(struct link_tls_server *s)
{
	if (!s)
		return;
	SSL_CTX_free(s->context);
	free(s);
}

static int tls_new(SSL_CTX *context, int fd, struct link_tls **out)
{
	owned(link_tls) *t = calloc(1, sizeof(*t));
	BIO *below;

	if (!t)
		return -ENOMEM;
	t->ssl = SSL_new(context);
	below = t->ssl ? below_new(fd) : NULL;
	if (!below)
		return -ENOMEM;
	SSL_set_bio(t->ssl, below, below); /* it owns it now */
	(void)SSL_set_app_data(t->ssl, t); /* index 0 is always there */
	*out = give(t);
	return 0;
}

int link_tls_accept(struct link_tls_server *s, int fd, struct link_tls **out)
{
	int rc = tls_new(s->context, fd, out);

	if (rc < 0)
		return rc;
	(*out)->server = s;
	SSL_set_accept_state((*out)->ssl);
	return 0;
}

int link_tls_connect(const struct link_token *token, int fd, struct link_tls **out)
{
	SSL_CTX *context = context_new(TLS_client_method());
	int rc;

	if (!context)
		return -ENOMEM;
	SSL_CTX_set_psk_use_session_callback(context, on_use);
	rc = tls_new(context, fd, out);
	SSL_CTX_free(context); /* the connection holds it */
	if (rc < 0)
		return rc;
	strcpy((*out)->name, token->name);
	memcpy((*out)->secret, token->secret, LINK_SECRET);
	SSL_set_connect_state((*out)->ssl);
	return 0;
}

void link_tls_free(struct link_tls *t)
{
	if (!t)
		return;
	SSL_free(t->ssl);
	explicit_bzero(t->secret, LINK_SECRET);
	free(t);
}

/* --- using -------------------------------------------------------------- */

/* -EAGAIN, 0 at the end, or the errno of what `rc` of an OpenSSL call means. */
static int failure(struct link_tls *t, int rc)
{
	int saved = errno;
	int why = SSL_get_error(t->ssl, rc);

	t->wants_write = why == SSL_ERROR_WANT_WRITE;
	if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE)
		return -EAGAIN;
	if (why == SSL_ERROR_ZERO_RETURN)
		return 0;
	if (why == SSL_ERROR_SYSCALL && saved)
		return -saved;
	/* Cut off without a goodbye: an attacker could do that, so it isn't a clean end. */
	if (ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING)
		return -ECONNRESET;
	return -EPROTO;
}

static bool refused_by_peer(void)
{
	switch (ERR_GET_REASON(ERR_peek_error())) {
	case SSL_R_SSLV3_ALERT_ILLEGAL_PARAMETER: /* OpenSSL's for a binder that doesn't verify */
	case SSL_R_TLSV1_ALERT_DECRYPT_ERROR:
	case SSL_R_TLSV1_ALERT_UNKNOWN_PSK_IDENTITY:
		return true;
	default:
		return false;
	}
}

static int handshake_failed(struct link_tls *t, int rc, struct error *err)
{
	unsigned long error = ERR_peek_error();
	const char *why = error ? ERR_reason_error_string(error) : NULL;

	if (t->server && ERR_GET_REASON(error) == SSL_R_BINDER_DOES_NOT_VERIFY)
		return error_say(err, EACCES, "no valid join token: wrong secret or unknown name");
	if (!t->server && refused_by_peer())
		return error_say(err, EACCES,
				 "the dispatcher does not accept the join token of %s: enroll it "
				 "anew",
				 t->name);
	if (rc == -EPROTO || rc == 0)
		return error_say(err, EPROTO, "TLS: %s",
				 why ? why : "the handshake was broken off");
	return error_set(err, -rc, "TLS handshake");
}

int link_tls_handshake(struct link_tls *t, struct link_peer *peer, struct error *err)
{
	int rc;

	ERR_clear_error();
	errno = 0;
	rc = SSL_do_handshake(t->ssl);
	if (rc != 1) {
		rc = failure(t, rc);
		return rc == -EAGAIN ? rc : handshake_failed(t, rc, err);
	}
	t->wants_write = false;
	if (!SSL_session_reused(t->ssl)) /* that is how a key that was used shows */
		return error_say(err, EPROTO, "TLS: the peer did not prove the join token");
	memcpy(peer->name, t->name, sizeof(peer->name));
	peer->role = t->role;
	return 0;
}

ssize_t link_tls_read(struct link_tls *t, void *bytes, size_t length)
{
	size_t got = 0;
	int rc;

	ERR_clear_error();
	errno = 0;
	rc = SSL_read_ex(t->ssl, bytes, length, &got);
	return rc == 1 ? (ssize_t)got : failure(t, rc);
}

ssize_t link_tls_write(struct link_tls *t, const void *bytes, size_t length)
{
	size_t put = 0;
	int rc;

	ERR_clear_error();
	errno = 0;
	rc = SSL_write_ex(t->ssl, bytes, length, &put);
	if (rc == 1)
		return (ssize_t)put;
	rc = failure(t, rc);
	return rc ? rc : -EPIPE;
}

bool link_tls_wants_write(const struct link_tls *t)
{
	return t->wants_write;
}

bool link_tls_pending(const struct link_tls *t)
{
	return SSL_has_pending(t->ssl);
}

void link_tls_goodbye(struct link_tls *t)
{
	ERR_clear_error();
	(void)SSL_shutdown(t->ssl); /* as far as the socket takes it; nobody waits for an answer */
}

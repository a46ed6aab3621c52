/* link_tls.h - TLS 1.3 over a connected socket with a pre-shared key and (EC)DHE, and nothing else:
 * no certificates, tickets, early data. The one file of the link that knows OpenSSL. Internal. */
#pragma once

#include "proto/link.h"

struct link_tls;        /* one connection */
struct link_tls_server; /* what all connections of a listener share */

/* `how` and its context outlive the server. */
int link_tls_server_new(const struct link_listen *how, struct link_tls_server **out);
void link_tls_server_free(struct link_tls_server *s);
OWNED(link_tls_server)

/* Both borrow `fd`. */
int link_tls_accept(struct link_tls_server *s, int fd, struct link_tls **out);
int link_tls_connect(const struct link_token *token, int fd, struct link_tls **out);
void link_tls_free(struct link_tls *t);
OWNED(link_tls)

/* 0 when done; then the name and role that the key proves are in `peer`. -EAGAIN: go on when the
 * socket is ready. Otherwise over, told in `err`; -EACCES: the other side knows no such key. */
int link_tls_handshake(struct link_tls *t, struct link_peer *peer, struct error *err);

/* As read(2) and write(2) on a socket that doesn't block; 0 from a read is the end. */
ssize_t link_tls_read(struct link_tls *t, void *bytes, size_t length);
ssize_t link_tls_write(struct link_tls *t, const void *bytes, size_t length);

/* After -EAGAIN: it waits for the socket to take bytes, not to have some. */
bool link_tls_wants_write(const struct link_tls *t);
/* Bytes were read from the socket already: it needn't become readable for them. */
bool link_tls_pending(const struct link_tls *t);

/* Says goodbye, so that the other side can tell an end from a cut. */
void link_tls_goodbye(struct link_tls *t);

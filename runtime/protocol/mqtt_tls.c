/* TLS of MQTT links: one SSL_CTX for each transport, because a context of its own costs a client 24 KB more.
 *
 * With a context that was handed over, libmosquitto checks neither certificate nor host name, and sends the
 * numeric address as SNI: verification is set up here, and the info callback corrects the name at the start
 * of each handshake. */
#include "protocol/mqtt_link.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <string.h>

static int link_index = -1;   /* of an SSL: its link */
static int target_index = -1; /* of an SSL_CTX: its target */

static bool is_numeric(const char *name)
{
    unsigned char buffer[sizeof(struct in6_addr)];
    return inet_pton(AF_INET, name, buffer) == 1 || inet_pton(AF_INET6, name, buffer) == 1;
}

/* The link whose client begins to connect: its handshake may end before anybody can attach it to the SSL. */
static struct ix_mqtt_link *connecting;

/* Context of a failure: the last thing OpenSSL complained about. */
static int fail(struct ix_error *err, const char *what, const char *file)
{
    unsigned long code = ERR_peek_last_error();
    const char *why = code != 0 ? ERR_reason_error_string(code) : NULL;
    if (code != 0 && ERR_SYSTEM_ERROR(code))
        why = strerror(ERR_GET_REASON(code));
    ix_fail(err, -EINVAL, "%s %s: %s", what, file, why != NULL ? why : "not usable");
    ERR_clear_error();
    return -EINVAL;
}

/* A key that needs a passphrase is an error: nobody sits at a worker's terminal. */
static int no_passphrase(char *buffer, int size, int writing, void *context)
{
    (void)buffer;
    (void)size;
    (void)writing;
    (void)context;
    return -1;
}

static void on_info(const SSL *ssl, int where, int value)
{
    if ((where & SSL_CB_HANDSHAKE_START) != 0) {
        struct ix_target *target = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), target_index);
        /* SNI names hosts only (RFC 6066, 3): none for an address. */
        char *name = is_numeric(target->server_name) ? NULL : target->server_name;
        SSL_set_tlsext_host_name((SSL *)ssl, name);
    }
    struct ix_mqtt_link *link = SSL_get_ex_data(ssl, link_index);
    if (link == NULL)
        link = connecting;
    if (link == NULL)
        return;
    if ((where & SSL_CB_HANDSHAKE_DONE) != 0)
        link->handshaking =
            false; /* the connection may end in the same call: then it was not the handshake */
    if ((where & SSL_CB_READ_ALERT) == SSL_CB_READ_ALERT && (value & 0xff) != SSL3_AD_CLOSE_NOTIFY)
        link->alert = (uint8_t)value;
    if ((where & SSL_CB_WRITE_ALERT) == SSL_CB_WRITE_ALERT && SSL_get_verify_mode(ssl) != SSL_VERIFY_NONE)
        link->rejected = (uint8_t)SSL_get_verify_result(ssl);
}

static int set_verification(SSL_CTX *tls, const struct ix_connection_spec *spec, const char *name,
                            struct ix_error *err)
{
    if (spec->insecure) {
        SSL_CTX_set_verify(tls, SSL_VERIFY_NONE, NULL);
        return 0;
    }
    SSL_CTX_set_verify(tls, SSL_VERIFY_PEER, NULL);
    X509_VERIFY_PARAM *param = SSL_CTX_get0_param(tls);
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    int ok = is_numeric(name) ? X509_VERIFY_PARAM_set1_ip_asc(param, name)
                              : X509_VERIFY_PARAM_set1_host(param, name, 0);
    if (ok != 1)
        return fail(err, "TLS: server name", name);
    if (spec->ca_file == NULL && SSL_CTX_set_default_verify_paths(tls) != 1)
        return fail(err, "TLS: CA certificates", "of the system");
    if (spec->ca_file != NULL && SSL_CTX_load_verify_file(tls, spec->ca_file) != 1)
        return fail(err, "TLS: CA file", spec->ca_file);
    return 0;
}

static int set_certificate(SSL_CTX *tls, const struct ix_connection_spec *spec, struct ix_error *err)
{
    if (spec->cert_file == NULL)
        return 0;
    const char *key_file = spec->key_file != NULL ? spec->key_file : spec->cert_file;
    if (SSL_CTX_use_certificate_chain_file(tls, spec->cert_file) != 1)
        return fail(err, "TLS: certificate file", spec->cert_file);
    SSL_CTX_set_default_passwd_cb(tls, no_passphrase);
    if (SSL_CTX_use_PrivateKey_file(tls, key_file, SSL_FILETYPE_PEM) != 1)
        return fail(err, "TLS: key file (it must not need a passphrase)", key_file);
    if (SSL_CTX_check_private_key(tls) != 1)
        return fail(err, "TLS: the key does not belong to the certificate:", key_file);
    return 0;
}

int ix_mqtt_tls_new(const struct ix_connection_spec *spec, const struct ix_target *target, SSL_CTX **tls,
                    struct ix_error *err)
{
    ERR_clear_error();
    if (link_index < 0) {
        link_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, NULL);
        target_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, NULL);
    }
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    if (context == NULL || SSL_CTX_set_ex_data(context, target_index, (void *)target) != 1) {
        SSL_CTX_free(context);
        return fail(err, "TLS: context", "of the connection");
    }
    SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_info_callback(context, on_info);
    int rc = set_verification(context, spec, target->server_name, err);
    if (rc == 0)
        rc = set_certificate(context, spec, err);
    if (rc != 0) {
        SSL_CTX_free(context);
        return rc;
    }
    *tls = context;
    return 0;
}

/* The library takes a connection that was refused or closed in the handshake for one that needs patience:
 * only the BIO knows that nothing more will come. */
void ix_mqtt_tls_step(struct ix_mqtt_link *link, int code, int error)
{
    SSL *ssl = mosquitto_ssl_get(link->client);
    if (code == MOSQ_ERR_SUCCESS && SSL_is_init_finished(ssl)) {
        link->handshaking = false;
        return;
    }
    if (code == MOSQ_ERR_SUCCESS && BIO_should_retry(SSL_get_rbio(ssl)))
        return;
    if (code == MOSQ_ERR_SUCCESS && error != 0 && error != EAGAIN)
        ix_mqtt_link_end(link, ix_mqtt_errno_text(error));
    else if (code == MOSQ_ERR_SUCCESS)
        ix_mqtt_link_end(link, "connection closed by the server in the TLS handshake");
    else
        ix_mqtt_link_fault(link, code, error);
}

void ix_mqtt_tls_begin(struct ix_mqtt_link *link)
{
    connecting = link;
    link->handshaking = true;
}

void ix_mqtt_tls_attach(struct ix_mqtt_link *link, int error)
{
    connecting = NULL;
    SSL *ssl = mosquitto_ssl_get(link->client);
    if (ssl == NULL)
        return;
    SSL_set_ex_data(ssl, link_index, link);
    ix_mqtt_tls_step(link, MOSQ_ERR_SUCCESS, error);
}

/* Reasons with a name in them, made once each: a link keeps its reason until `closed`. */
static const char *certificate_text(uint8_t code)
{
    static char *texts[UINT8_MAX + 1];
    if (texts[code] == NULL) {
        const char *why = X509_verify_cert_error_string(code);
        char *text = ix_asprintf("certificate not accepted: %s", why);
        if (why[0] != '\0' && islower((unsigned char)why[1]))
            text[strlen(text) - strlen(why)] = (char)tolower((unsigned char)why[0]);
        texts[code] = text;
    }
    return texts[code];
}

static const char *alert_text(uint8_t code)
{
    static char *texts[UINT8_MAX + 1];
    /* OpenSSL 3.0 does not know the name of this one. */
    const char *name =
        code == TLS13_AD_CERTIFICATE_REQUIRED ? "certificate required" : SSL_alert_desc_string_long(code);
    if (texts[code] == NULL)
        texts[code] = ix_asprintf("TLS alert from the server: %s", name);
    return texts[code];
}

const char *ix_mqtt_tls_reason(const struct ix_mqtt_link *link, int code, int error)
{
    if (link->rejected != X509_V_OK)
        return certificate_text(link->rejected);
    if (link->alert != 0)
        return alert_text(link->alert);
    /* The library's way to say that TLS failed on a connection whose handshake was done, if only just now. */
    bool done = code == MOSQ_ERR_ERRNO && error == EPROTO;
    if (link->handshaking && !done)
        return code == MOSQ_ERR_TLS ? "TLS handshake failed" : NULL;
    /* With TLS 1.3 a server judges our certificate after we have finished, and its alert may be overtaken by
     * the end of the connection. */
    if (link->state == IX_MQTT_CONNECTING)
        return "connection closed by the server after the TLS handshake";
    return NULL;
}

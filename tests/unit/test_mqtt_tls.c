/* MQTT over TLS: certificates made here, checked against the name that the user wrote. */
#include "mqtt_fixture.h"

#include <openssl/pem.h>
#include <openssl/x509v3.h>

static char folder[] = "/tmp/iotix-test-tls.XXXXXX";
static char ca_file[256], server_file[256], client_file[256], locked_key[256];

/* --- Certificates. */

struct certificate {
    X509 *x509;
    EVP_PKEY *key;
};

static void add_extension(X509 *x509, X509 *issuer, int id, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer, x509, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, id, value);
    assert_non_null(extension);
    X509_add_ext(x509, extension, -1);
    X509_EXTENSION_free(extension);
}

/* `issuer` NULL: an authority that signs itself. */
static struct certificate make_certificate(const char *name, const char *alternatives,
                                           const struct certificate *issuer)
{
    static long serial = 1;
    struct certificate made = {.x509 = X509_new(), .key = EVP_EC_gen("P-256")};
    const struct certificate *signer = issuer != NULL ? issuer : &made;
    X509_set_version(made.x509, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(made.x509), serial++);
    X509_gmtime_adj(X509_getm_notBefore(made.x509), -3600);
    X509_gmtime_adj(X509_getm_notAfter(made.x509), 3600);
    X509_set_pubkey(made.x509, made.key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(made.x509), "CN", MBSTRING_ASC,
                               (const unsigned char *)name, -1, -1, 0);
    X509_set_issuer_name(made.x509, X509_get_subject_name(signer->x509));
    add_extension(made.x509, signer->x509, NID_basic_constraints,
                  issuer == NULL ? "critical,CA:TRUE" : "CA:FALSE");
    if (alternatives != NULL)
        add_extension(made.x509, signer->x509, NID_subject_alt_name, alternatives);
    assert_true(X509_sign(made.x509, signer->key, EVP_sha256()) > 0);
    return made;
}

static void save(char path[256], const char *name, const struct certificate *certificate,
                 const char *password)
{
    snprintf(path, 256, "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    PEM_write_X509(file, certificate->x509);
    PEM_write_PrivateKey(file, certificate->key, password != NULL ? EVP_aes_256_cbc() : NULL, NULL, 0, NULL,
                         (void *)(uintptr_t)password);
    fclose(file);
}

static void forget(struct certificate *certificate)
{
    X509_free(certificate->x509);
    EVP_PKEY_free(certificate->key);
}

static int make_files(void **state)
{
    (void)state;
    if (mkdtemp(folder) == NULL)
        return -1;
    struct certificate ca = make_certificate("Test CA", NULL, NULL);
    struct certificate server = make_certificate("server", "DNS:broker.test,IP:127.0.0.1", &ca);
    struct certificate client = make_certificate("client", NULL, &ca);
    save(ca_file, "ca.pem", &ca, NULL);
    save(server_file, "server.pem", &server, NULL);
    save(client_file, "client.pem", &client, NULL);
    save(locked_key, "locked.pem", &client, "secret");
    forget(&ca);
    forget(&server);
    forget(&client);
    return 0;
}

static int remove_files(void **state)
{
    const char *const files[] = {ca_file, server_file, client_file, locked_key};
    (void)state;
    for (size_t i = 0; i < IX_ARRAY_LEN(files); i++)
        unlink(files[i]);
    return rmdir(folder);
}

/* --- Connecting. */

static struct ix_connection_spec tls_spec(void)
{
    struct ix_connection_spec spec = plain_spec(4);
    spec.tls = true;
    spec.ca_file = ca_file;
    return spec;
}

static struct ix_transport *open_tls(const struct ix_connection_spec *spec, const char *name, uint16_t port)
{
    struct ix_target target = {.address = "127.0.0.1", .port = port};
    struct ix_transport *transport = NULL;
    struct ix_error err;
    snprintf(target.server_name, sizeof(target.server_name), "%s", name);
    if (ix_protocol_mqtt.open(&loop, spec, &target, &device_events, &transport, &err) != 0)
        fail_msg("%s", err.text);
    return transport;
}

static void start_tls_broker(bool wants_certificate)
{
    char options[1024];
    snprintf(options, sizeof(options), "cafile %s\ncertfile %s\nkeyfile %s\nrequire_certificate %s\n",
             ca_file, server_file, server_file, wants_certificate ? "true" : "false");
    start_broker(options);
}

/* Connects once; the reason of the failure, or NULL. */
static const char *attempt(const struct ix_connection_spec *spec, const char *name, uint16_t port)
{
    static struct device d;
    struct ix_transport *transport = open_tls(spec, name, port);
    int over = 0;
    memset(&d, 0, sizeof(d));
    start(transport, &d, "d");
    for (int i = 0; i < WAIT_LIMIT_MS / 2 && over == 0; i++) {
        run_for(2);
        over = d.connected + d.closed;
    }
    assert_int_equal(over, 1);
    end(&d, IX_WAY_CLOSE);
    ix_protocol_mqtt.release(transport);
    run_for(4);
    if (d.closed > 0)
        assert_int_equal(d.outcome, IX_FAILED);
    return d.closed > 0 ? d.reason : NULL;
}

static void test_messages_travel_over_tls(void **state)
{
    (void)state;
    static char payload[100000];
    start_tls_broker(false);
    struct ix_connection_spec spec = tls_spec();
    struct ix_transport *transport = open_tls(&spec, "broker.test", ix_broker_port(broker));
    struct device devices[20] = {0};
    int before = open_descriptors();
    for (size_t i = 0; i < IX_ARRAY_LEN(devices); i++) {
        char id[16];
        snprintf(id, sizeof(id), "d%zu", i);
        start(transport, &devices[i], id);
    }
    for (size_t i = 0; i < IX_ARRAY_LEN(devices); i++)
        wait_for(&devices[i].connected, 1);
    assert_int_equal(open_descriptors() - before, IX_ARRAY_LEN(devices));
    struct device *d = &devices[0];
    subscribe(d, "t", 1);
    memset(payload, 'x', sizeof(payload));
    struct ix_message large = {.topic = "t", .payload = payload, .len = sizeof(payload), .qos = 1};
    uint16_t token;
    for (int i = 1; i <= 5; i++)
        assert_int_equal(ix_protocol_mqtt.publish(d->link, &large, &token), 0);
    wait_for(&d->acked, 5);
    wait_for(&d->messages, 5);
    assert_int_equal(publish(d, "t", "small", 0, NULL), IX_PUBLISHED);
    wait_for(&d->messages, 6);
    assert_string_equal(d->payload, "small");
    for (size_t i = 0; i < IX_ARRAY_LEN(devices); i++)
        end(&devices[i], i % 2 == 0 ? IX_WAY_CLOSE : IX_WAY_ABORT);
    ix_protocol_mqtt.release(transport);
    run_for(10);
    assert_int_equal(open_descriptors(), before);
}

static void test_the_name_in_the_certificate_counts(void **state)
{
    (void)state;
    start_tls_broker(false);
    uint16_t port = ix_broker_port(broker);
    struct ix_connection_spec spec = tls_spec();
    assert_null(attempt(&spec, "broker.test", port));
    assert_null(attempt(&spec, "127.0.0.1", port));
    const char *reason = attempt(&spec, "other.test", port);
    assert_non_null(reason);
    assert_string_equal(reason, "certificate not accepted: hostname mismatch");
    reason = attempt(&spec, "127.0.0.2", port);
    assert_non_null(reason);
    assert_string_equal(reason, "certificate not accepted: IP address mismatch");
    spec.insecure = true;
    assert_null(attempt(&spec, "other.test", port));
}

static void test_an_unknown_authority_is_not_accepted(void **state)
{
    (void)state;
    start_tls_broker(false);
    struct ix_connection_spec spec = tls_spec();
    spec.ca_file = NULL; /* the system's do not know ours */
    const char *reason = attempt(&spec, "broker.test", ix_broker_port(broker));
    assert_non_null(reason);
    assert_non_null(strstr(reason, "certificate not accepted: "));
}

static void test_a_broker_may_want_a_certificate(void **state)
{
    (void)state;
    start_tls_broker(true);
    struct ix_connection_spec spec = tls_spec();
    const char *reason = attempt(&spec, "broker.test", ix_broker_port(broker));
    assert_non_null(reason);
    /* The server's alert, unless the end of the connection overtakes it. */
    if (strcmp(reason, "TLS alert from the server: certificate required") != 0)
        assert_string_equal(reason, "connection closed by the server after the TLS handshake");
    spec.cert_file = client_file;
    assert_null(attempt(&spec, "broker.test", ix_broker_port(broker)));
}

static size_t garbage(const uint8_t *packet, size_t len, uint8_t *out)
{
    (void)packet;
    (void)len;
    memcpy(out, "HTTP/1.1 400 Bad Request\r\n\r\n", 28);
    return 28;
}

static void test_servers_that_do_not_speak_tls_are_failures(void **state)
{
    (void)state;
    struct ix_connection_spec spec = tls_spec();
    fake_start(NULL, false, true);
    const char *reason = attempt(&spec, "broker.test", fake.port);
    assert_non_null(reason);
    assert_true(strcmp(reason, "connection closed by the server in the TLS handshake") == 0 ||
                strcmp(reason, "connection reset") == 0);
    fake_stop();

    fake_start(garbage, false, false);
    reason = attempt(&spec, "broker.test", fake.port);
    assert_non_null(reason);
    assert_string_equal(reason, "TLS handshake failed");
    uint16_t port = fake.port;
    fake_stop();

    reason = attempt(&spec, "broker.test", port); /* nobody listens there any more */
    assert_non_null(reason);
    assert_string_equal(reason, "connection refused");

    fake_start(NULL, true, false);
    spec.connect_timeout_ns = 50000000;
    reason = attempt(&spec, "broker.test", fake.port);
    assert_non_null(reason);
    assert_string_equal(reason, "connection timed out in the TLS handshake");
    fake_stop();
}

static void test_a_waiting_handshake_does_not_spin(void **state)
{
    (void)state;
    fake_start(NULL, true, false);
    struct ix_connection_spec spec = tls_spec();
    struct ix_transport *transport = open_tls(&spec, "broker.test", fake.port);
    struct device d = {0};
    start(transport, &d, "d");
    run_for(50);
    uint64_t turns = *loop.turn_counter;
    run_for(200);
    /* The test's own timer makes the loop turn about 100 times. */
    assert_true(*loop.turn_counter - turns < 1000);
    end(&d, IX_WAY_ABORT);
    fake_stop();
    ix_protocol_mqtt.release(transport);
}

static void test_unusable_files_are_errors(void **state)
{
    (void)state;
    struct ix_target target = {.address = "127.0.0.1", .server_name = "broker.test", .port = 8883};
    struct ix_transport *transport = NULL;
    struct ix_error err;
    struct ix_connection_spec spec = tls_spec();
    spec.ca_file = "/nowhere/ca.pem";
    assert_true(ix_protocol_mqtt.open(&loop, &spec, &target, &device_events, &transport, &err) < 0);
    assert_non_null(strstr(err.text, "/nowhere/ca.pem"));
    spec = tls_spec();
    spec.cert_file = locked_key; /* would ask for its passphrase on the terminal */
    assert_true(ix_protocol_mqtt.open(&loop, &spec, &target, &device_events, &transport, &err) < 0);
    assert_non_null(strstr(err.text, "passphrase"));
    spec.cert_file = client_file;
    spec.key_file = server_file;
    assert_true(ix_protocol_mqtt.open(&loop, &spec, &target, &device_events, &transport, &err) < 0);
    assert_non_null(strstr(err.text, server_file));
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], IX_BROKER_EXEC) == 0)
        return ix_broker_exec_main(argc, argv);
#define WITH_LOOP(test) cmocka_unit_test_setup_teardown(test, set_up_loop, tear_down_loop)
    const struct CMUnitTest tests[] = {
        WITH_LOOP(test_messages_travel_over_tls),
        WITH_LOOP(test_the_name_in_the_certificate_counts),
        WITH_LOOP(test_an_unknown_authority_is_not_accepted),
        WITH_LOOP(test_a_broker_may_want_a_certificate),
        WITH_LOOP(test_servers_that_do_not_speak_tls_are_failures),
        WITH_LOOP(test_a_waiting_handshake_does_not_spin),
        WITH_LOOP(test_unusable_files_are_errors),
    };
    return cmocka_run_group_tests(tests, make_files, remove_files);
}

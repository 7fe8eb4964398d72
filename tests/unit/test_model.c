/* The model compiler: what it accepts, its defaults, and every fault with its path. */
#include "model_faults.h"

static void defaults(void **state)
{
    struct ix_model *m = must_compile("{" HEAD "," X "}", NULL);
    const struct ix_connection_spec *c = &m->connection;
    const struct ix_generator_spec *g = &m->attributes[0].generator;

    (void)state;
    assert_string_equal(m->id, "m");
    assert_null(c->host);
    assert_int_equal(c->port, 0);
    assert_int_equal(c->qos, 1);
    assert_int_equal(c->keep_alive_s, 60);
    assert_true(c->clean_session);
    assert_int_equal(c->mqtt_version, 4);
    assert_int_equal(c->max_inflight, 20);
    assert_true(c->connect_timeout_ns == 10000000000ull);
    assert_false(c->combined || c->tls || c->retain || c->will.set);
    assert_int_equal(c->reconnect.backoff, IX_BACKOFF_EXPONENTIAL);
    assert_int_equal(c->reconnect.jitter, IX_JITTER_FULL);
    assert_true(c->reconnect.delay_ns == 1000000000ull && c->reconnect.max_delay_ns == 30000000000ull);
    assert_true(c->reconnect.base == 2 && c->reconnect.attempts == 0 && !c->reconnect.on_refused);
    assert_true(m->attributes[0].interval_ns == 1000000000ull);
    assert_int_equal(m->attributes[0].phase, IX_PHASE_ZERO);
    assert_string_equal(m->attributes[0].json_key, "\"x\":");
    assert_string_equal(m->attributes[0].json_unit, "");
    assert_true(g->min == 0 && g->max == 100 && g->mean == 50 && g->rate == 0.05);
    assert_true(g->stddev > 16.66 && g->stddev < 16.67);
    assert_int_equal(g->decimals, 2);
    assert_false(m->needs_values);
    ix_model_free(m);
}

static void all_faults_at_once(void **state)
{
    (void)state;
    FAULTS("{\"id\":\"a b\",\"type\":\"senor\",\"protocol\":\"mqtt\",\"telemtry\":[],"
           "\"connection\":{\"qos\":3,\"keepAlive\":2,\"port\":\"1883\",\"topicPattern\":\"a/#\"},"
           "\"telemetry\":[{\"name\":\"t\",\"type\":\"number\",\"intervalMs\":0,"
           "\"generator\":{\"type\":\"random\",\"min\":5,\"max\":1,\"mn\":3}}]}",
           11, "id: \"a b\" must consist of", "name: is missing",
           "type: \"senor\" is not a known value; did you mean \"sensor\"?",
           "telemtry: unknown field; did you mean \"telemetry\"?", "connection.qos: must be 0 to 2",
           "connection.keepAlive: must be 0 or 5 to 65535 s",
           "connection.port: must be an integer, not a string",
           "connection.topicPattern: must not contain the wildcards", "telemetry[0].intervalMs: must be 1 to",
           "telemetry[0].generator.mn: unknown field",
           "telemetry[0].generator.min: min (5) is above max (1)");
}

static void malformed_json_names_line_and_column(void **state)
{
    (void)state;
    FAULTS("{\n  \"id\": \"m\",\n  \"name\" \"M\"\n}", 1, "malformed JSON at line 3, column");
    FAULTS("", 1, "malformed JSON at line 1");
    FAULTS("[]", 1, "must be an object, not an array");
    FAULTS("{\"id\":\"m\"} x", 1, "malformed JSON at line 1");
    FAULTS("{\"id\":1e999}", 1, "malformed JSON at line 1");
}

static void keys_that_occur_twice(void **state)
{
    (void)state;
    FAULTS("{" HEAD ",\"id\":\"n\"," X "}", 1, "id: the key occurs twice");
    FAULTS("{" HEAD ",\"metadata\":{\"a\":{\"b\":1,\"c\":[{\"d\":1,\"\\u0064\":2}]},\"a\":3}," X "}", 2,
           "metadata.a: the key occurs twice", "metadata.a.c[0].d: the key occurs twice");
}

static void deep_documents_do_not_crash(void **state)
{
    struct ix_buf text;

    (void)state;
    ix_buf_init(&text, 1 << 20);
    for (int depth = 100; depth <= 3000; depth += 1450) { /* allowed; beyond our limit; beyond the parser's */
        ix_buf_clear(&text);
        ix_buf_str(&text, "{" HEAD "," X ",\"metadata\":{\"a\":");
        for (int i = 0; i < depth; i++)
            ix_buf_char(&text, '[');
        for (int i = 0; i < depth; i++)
            ix_buf_char(&text, ']');
        ix_buf_str(&text, "}}");
        if (depth == 100)
            ix_model_free(must_compile(ix_buf_cstr(&text), NULL));
        else if (depth == 1550)
            FAULTS(ix_buf_cstr(&text), 1, "nested deeper than 128");
        else
            FAULTS(ix_buf_cstr(&text), 1, "malformed JSON");
    }
    ix_buf_deinit(&text);
}

static void both_spellings(void **state)
{
    struct ix_model *m = must_compile("{" HEAD ",\"telemetry\":["
                                      "{\"name\":\"a\",\"type\":\"number\",\"generator\":{\"type\":"
                                      "\"replay\",\"file\":\"x.csv\",\"loopReplay\":false}},"
                                      "{\"name\":\"b\",\"type\":\"number\",\"generator\":{\"type\":"
                                      "\"custom\",\"handler\":\"h\",\"params\":{\"k\":1}}}]}",
                                      NULL);

    (void)state;
    assert_string_equal(m->attributes[0].generator.file, "x.csv");
    assert_false(m->attributes[0].generator.loop);
    assert_int_equal(json_integer_value(json_object_get(m->attributes[1].generator.config, "k")), 1);
    ix_model_free(m);
    FAULTS("{" HEAD ",\"telemetry\":[{\"name\":\"a\",\"type\":\"number\",\"generator\":"
           "{\"type\":\"replay\",\"dataFile\":\"x\",\"file\":\"y\"}}]}",
           1, "telemetry[0].generator.file: is another spelling of dataFile");
}

static void unknown_keys_are_warnings_when_lenient(void **state)
{
    const struct ix_model_options lenient = {.lenient = true};
    const char *text = "{" HEAD ",\"colour\":1," X ",\"connection\":{\"qoss\":1,\"server\":\"x\"}}";
    struct ix_faults faults;

    (void)state;
    FAULTS(text, 3, "colour: unknown field", "connection.qoss: unknown field; did you mean \"qos\"?",
           "connection.server: does not apply to \"mqtt\", only to coap");
    ix_faults_init(&faults);
    struct ix_model *m = ix_model_parse(text, strlen(text), &lenient, &faults);
    assert_non_null(m);
    assert_int_equal(faults.errors, 0);
    assert_int_equal(faults.count, 3);
    ix_model_free(m);
    ix_faults_deinit(&faults);
}

static void brokers(void **state)
{
    static const struct {
        const char *broker, *host;
        int port;
        bool tls;
    } cases[] = {
        {"\"broker.example\"", "broker.example", 0, false},
        {"\"broker.example:1884\"", "broker.example", 1884, false},
        {"\"broker\",\"port\":1885", "broker", 1885, false},
        {"\"mqtt://b\"", "b", 1883, false},
        {"\"tcp://b:99\"", "b", 99, false},
        {"\"mqtts://b\"", "b", 8883, true},
        {"\"ssl://b:8884/\"", "b", 8884, true},
        {"\"mqtts://b\",\"port\":8885", "b", 8885, true},
        {"\"[::1]:1886\"", "::1", 1886, false},
        {"\"mqtt://[fe80::1%eth0]\"", "fe80::1%eth0", 1883, false},
        {"\"::1\"", "::1", 0, false},
        {"\"b\",\"tls\":true", "b", 0, true},
    };

    (void)state;
    for (size_t i = 0; i < IX_ARRAY_LEN(cases); i++) {
        char *text = ix_asprintf("{" HEAD "," X ",\"connection\":{\"broker\":%s}}", cases[i].broker);
        struct ix_model *m = must_compile(text, NULL);

        assert_string_equal(m->connection.host, cases[i].host);
        assert_int_equal(m->connection.port, cases[i].port);
        assert_int_equal(m->connection.tls, cases[i].tls);
        ix_model_free(m);
        free(text);
    }
}

static void bad_brokers(void **state)
{
    static const struct {
        const char *broker, *message;
    } cases[] = {
        {"\"http://b\"", "\"http://\" is no scheme of protocol mqtt"},
        {"\"mqt://b\"", "did you mean \"mqtt\"?"},
        {"\"b:70000\"", "port \"70000\" must be 1 to 65535"},
        {"\"b:\"", "port \"\""},
        {"\"mqtt://u:p@b\"", "must not contain a user"},
        {"\"[::1\"", "no closing bracket"},
        {"\"mqtt://b/path\"", "has no path"},
        {"\"a b\"", "names no host"},
        {"\"b:1\",\"port\":2", "contradicts the port"},
        {"\"mqtt://b\",\"tls\":true", "contradicts the scheme"},
    };

    (void)state;
    for (size_t i = 0; i < IX_ARRAY_LEN(cases); i++) {
        char *text = ix_asprintf("{" HEAD "," X ",\"connection\":{\"broker\":%s}}", cases[i].broker);

        FAULTS(text, 1, cases[i].message);
        free(text);
    }
}

static void connections(void **state)
{
    struct ix_model *m = must_compile(
        "{" HEAD "," X
        ",\"connection\":{\"protocolVersion\":5,\"sessionExpirySec\":60,\"cleanSession\":false,"
        "\"connectTimeoutMs\":250,\"maxInflight\":3,\"retain\":true,\"payload\":\"combined\",\"qos\":2,"
        "\"keepAlive\":0,"
        "\"will\":{\"topic\":\"w/${deviceId}\",\"payload\":{\"gone\":true},\"qos\":1,\"retain\":true},"
        "\"tls\":{\"ca\":\"ca.pem\",\"insecure\":true},\"username\":\"u-{index}\",\"password\":\"p\","
        "\"reconnect\":{\"backoff\":\"fixed\",\"jitter\":\"decorrelated\",\"delayMs\":10,\"maxDelayMs\":20,"
        "\"base\":1.5,\"attempts\":4,\"onRefused\":true}}}",
        NULL);
    const struct ix_connection_spec *c = &m->connection;

    (void)state;
    assert_int_equal(c->mqtt_version, 5);
    assert_int_equal(c->session_expiry_s, 60);
    assert_true(!c->clean_session && c->retain && c->combined && c->tls && c->insecure);
    assert_true(c->connect_timeout_ns == 250000000ull);
    assert_int_equal(c->max_inflight, 3);
    assert_int_equal(c->keep_alive_s, 0);
    assert_true(c->will.set && c->will.retain && c->will.payload && !c->will.text);
    assert_int_equal(c->will.qos, 1);
    assert_string_equal(c->ca_file, "ca.pem");
    assert_int_equal(c->reconnect.backoff, IX_BACKOFF_FIXED);
    assert_int_equal(c->reconnect.jitter, IX_JITTER_DECORRELATED);
    assert_true(c->reconnect.delay_ns == 10000000 && c->reconnect.max_delay_ns == 20000000);
    assert_true(c->reconnect.base == 1.5 && c->reconnect.attempts == 4 && c->reconnect.on_refused);
    ix_model_free(m);

    m = must_compile("{" HEAD "," X ",\"connection\":{\"reconnect\":false,\"protocolVersion\":\"5\"}}", NULL);
    assert_int_equal(m->connection.reconnect.backoff, IX_BACKOFF_NONE);
    assert_int_equal(m->connection.mqtt_version, 5);
    ix_model_free(m);

    FAULTS("{" HEAD "," X ",\"connection\":{\"protocolVersion\":3,\"clientIdPattern\":\"fixed\","
           "\"sessionExpirySec\":5,\"password\":\"p\",\"will\":{\"topic\":\"a/+\"},\"reconnect\":true,"
           "\"tls\":{\"cert\":\"c\"},\"payload\":\"both\"}}",
           8, "connection.protocolVersion: must be 4 to 5",
           "connection.clientIdPattern: must contain ${deviceId} or ${index}",
           "connection.sessionExpirySec: needs", "connection.username: is missing",
           "connection.will.topic: must not contain",
           "connection.reconnect: must be false or an object, not a boolean",
           "connection.tls.key: is missing", "connection.payload: \"both\" is not a known value");
    FAULTS("{" HEAD "," X ",\"connection\":{\"reconnect\":{\"delayMs\":50,\"maxDelayMs\":10}}}", 1,
           "connection.reconnect.maxDelayMs: is shorter than delayMs");
}

static void coap_and_http(void **state)
{
    struct ix_model *m =
        must_compile("{\"id\":\"m\",\"name\":\"M\",\"type\":\"sensor\",\"protocol\":\"coap\"," X
                     ",\"connection\":{\"server\":\"coaps://c\",\"resourcePath\":\"s/${deviceId}\","
                     "\"confirmable\":false}}",
                     NULL);

    (void)state;
    assert_string_equal(m->connection.host, "c");
    assert_int_equal(m->connection.port, 5684);
    assert_true(m->connection.tls && !m->connection.confirmable);
    assert_string_equal(m->connection.resource_path, "s/${deviceId}");
    assert_true(ix_template_is_per_device(m->connection.topic));
    ix_model_free(m);

    m = must_compile("{\"id\":\"m\",\"name\":\"M\",\"type\":\"sensor\",\"protocol\":\"http\"," X
                     ",\"connection\":{\"baseUrl\":\"https://h:8443/api\",\"path\":\"/d/"
                     "{index}?a=1+2\",\"method\":\"PUT\","
                     "\"headers\":{\"X-Device\":\"${deviceId}\"}}}",
                     NULL);
    assert_string_equal(m->connection.host, "h");
    assert_int_equal(m->connection.port, 8443);
    assert_string_equal(m->connection.http_method, "PUT");
    assert_true(ix_template_is_per_device(m->connection.topic));
    ix_model_free(m);

    FAULTS("{\"id\":\"m\",\"name\":\"M\",\"type\":\"sensor\",\"protocol\":\"http\"," X
           ",\"connection\":{\"baseUrl\":\"h:8080\",\"method\":\"GET\",\"qos\":1,\"headers\":{\"A\":1,\"B\":"
           "\"x\\ny\","
           "\"C\":\"${nope}\"}}}",
           6, "connection.baseUrl: must start with http://", "connection.method: \"GET\"",
           "connection.qos: does not apply to \"http\", only to mqtt",
           "connection.headers.A: must be a string", "connection.headers.B: is not a header",
           "connection.headers.C: unknown placeholder");
}

static void generators(void **state)
{
    static const struct {
        const char *type, *generator, *message;
    } cases[] = {
        {"number", "{\"type\":\"sequence\",\"step\":0}", "telemetry[0].generator.step: must not be 0"},
        {"number", "{\"type\":\"sequence\",\"start\":500}",
         "generator.start: 500 lies outside of min to max (0 to 100)"},
        {"string", "{\"type\":\"sequence\"}", "a sequence is for attributes of type number"},
        {"number", "{\"type\":\"sequence\",\"values\":[]}",
         "values: does not apply to \"sequence\", only to random"},
        {"number", "{\"type\":\"random\",\"min\":200}", "min (200) is above max (100, the default)"},
        {"integer", "{\"type\":\"random\",\"min\":0.2,\"max\":0.8}", "there is no integer from 0.2 to 0.8"},
        {"boolean", "{\"type\":\"random\",\"probability\":1.5}", "probability: must be 0 to 1"},
        {"string", "{\"type\":\"random\"}", "values: a random string needs a list"},
        {"string", "{\"type\":\"random\",\"values\":[\"a\",1]}", "element 1 is not a string"},
        {"binary", "{\"type\":\"random\"}", "random has no binary values"},
        {"number", "{\"type\":\"random\",\"distribution\":\"gauss\"}",
         "distribution: \"gauss\" is not a known value"},
        {"number", "{\"type\":\"constant\"}", "value: is missing"},
        {"number", "{\"type\":\"constant\",\"value\":\"x\"}", "value: is not of the attribute's type number"},
        {"boolean", "{\"type\":\"constant\",\"value\":1}", "value: is not of the attribute's type boolean"},
        {"binary", "{\"type\":\"constant\",\"value\":\"a*b\"}", "value: is not base64"},
        {"number", "{\"type\":\"constant\",\"dataFile\":\"x\"}", "dataFile: of a constant is for"},
        {"number", "{\"type\":\"replay\"}", "dataFile: is missing"},
        {"number", "{\"type\":\"custom\",\"handler\":\"../x\"}", "handler: \"../x\" must consist of"},
        {"number", "{\"type\":\"custom\"}", "handler: is missing"},
        {"number", "{\"type\":\"randm\"}", "type: \"randm\" is not a known value; did you mean \"random\"?"},
        {"number", "{}", "generator.type: is missing"},
        {"number", "7", "generator: must be an object, not a number"},
        {"nummer", "{\"type\":\"random\"}", "telemetry[0].type: \"nummer\""},
    };

    (void)state;
    for (size_t i = 0; i < IX_ARRAY_LEN(cases); i++) {
        char *text = sensor(cases[i].type, cases[i].generator);

        FAULTS(text, 1, cases[i].message);
        free(text);
    }
}

static void useless_settings_are_warned_of(void **state)
{
    char *text = sensor("number", "{\"type\":\"random\",\"mean\":5,\"rate\":2}");

    (void)state;
    FAULTS(text, 0, "warning telemetry[0].generator.mean: has no effect",
           "warning telemetry[0].generator.rate");
    free(text);
}

static void decimals(void **state)
{
    static const struct {
        const char *generator;
        int decimals;
    } cases[] = {
        {"{\"type\":\"random\",\"min\":0,\"max\":1}", 3},
        {"{\"type\":\"random\",\"min\":0,\"max\":0.05}", 5},
        {"{\"type\":\"random\",\"min\":20,\"max\":30}", 2},
        {"{\"type\":\"random\",\"min\":0,\"max\":100000}", 2},
        {"{\"type\":\"random\",\"min\":5,\"max\":5}", -1},
        {"{\"type\":\"sequence\",\"step\":0.1}", 1},
        {"{\"type\":\"sequence\",\"step\":1}", 0},
        {"{\"type\":\"sequence\",\"step\":0.10}", 2},
        {"{\"type\":\"sequence\",\"start\":1.125,\"step\":0.5}", 3},
        {"{\"type\":\"sequence\",\"step\":1e-3}", 3},
        {"{\"type\":\"sequence\",\"min\":0.25,\"step\":1}", 2},
        {"{\"type\":\"constant\",\"value\":1.50}", -1},
    };

    (void)state;
    for (size_t i = 0; i < IX_ARRAY_LEN(cases); i++) {
        char *text = sensor("number", cases[i].generator);
        struct ix_model *m = must_compile(text, NULL);

        if (m->attributes[0].generator.decimals != cases[i].decimals)
            fail_msg("%s: %d decimals", cases[i].generator, m->attributes[0].generator.decimals);
        ix_model_free(m);
        free(text);
    }
}

static void attributes(void **state)
{
    struct ix_model *m = must_compile(
        "{" HEAD ",\"telemetry\":[{\"name\":\"a\",\"type\":\"number\",\"unit\":\"\\u00b0C\",\"precision\":1,"
        "\"phase\":\"random\","
        "\"intervalMs\":50,\"topic\":\"t/{deviceId}/a\",\"generator\":{\"type\":\"random\"}},"
        "{\"name\":\"b\",\"type\":\"integer\",\"phase\":125,\"generator\":{\"type\":\"random\"}}]}",
        NULL);

    (void)state;
    assert_string_equal(m->attributes[0].json_unit, ",\"unit\":\"\xc2\xb0"
                                                    "C\"");
    assert_int_equal(m->attributes[0].generator.decimals, 1);
    assert_int_equal(m->attributes[0].phase, IX_PHASE_RANDOM);
    assert_non_null(m->attributes[0].topic);
    assert_int_equal(m->attributes[1].phase, IX_PHASE_FIXED);
    assert_true(m->attributes[1].phase_ns == 125000000);
    ix_model_free(m);

    FAULTS("{" HEAD ",\"telemetry\":["
           "{\"name\":\"a\",\"type\":\"number\",\"generator\":{\"type\":\"random\"},\"precision\":16},"
           "{\"name\":\"a\",\"type\":\"number\",\"generator\":{\"type\":\"random\"},\"phase\":\"rand\"},"
           "{\"name\":\"timestamp\",\"type\":\"number\",\"generator\":{\"type\":\"random\"}},"
           "{\"name\":\"a\\u0000b\",\"type\":\"number\",\"generator\":{\"type\":\"random\"}},"
           "{\"name\":\"\",\"type\":\"number\",\"generator\":{\"type\":\"random\"}},"
           "{\"name\":\"c\",\"type\":\"number\",\"generator\":{\"type\":\"random\"},\"topic\":\"x/${x}\"},"
           "{\"name\":\"d\",\"type\":\"number\",\"generator\":{\"type\":\"random\"},\"intervalMs\":1.5}, 5]}",
           9, "telemetry[0].precision: must be 0 to 15",
           "telemetry[1].name: there is another attribute called \"a\"", "telemetry[1].phase: \"rand\"",
           "telemetry[2].name: \"timestamp\" has a meaning of its own",
           "telemetry[3].name: must not contain a NUL", "telemetry[4].name: must not be empty",
           "telemetry[5].topic: unknown placeholder ${x}", "telemetry[6].intervalMs: must be a whole number",
           "telemetry[7]: must be an object, not a number");
}

static void who_needs_telemetry(void **state)
{
    (void)state;
    FAULTS("{" HEAD "}", 1, "telemetry: a sensor needs");
    FAULTS("{" HEAD ",\"telemetry\":[]}", 1, "telemetry: a sensor needs");
    ix_model_free(
        must_compile("{\"id\":\"m\",\"name\":\"M\",\"type\":\"actuator\",\"protocol\":\"mqtt\"}", NULL));
    ix_model_free(must_compile("{" HEAD ",\"behaviors\":[{\"name\":\"b\",\"handler\":\"h\"}]}", NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults),
        cmocka_unit_test(all_faults_at_once),
        cmocka_unit_test(malformed_json_names_line_and_column),
        cmocka_unit_test(keys_that_occur_twice),
        cmocka_unit_test(deep_documents_do_not_crash),
        cmocka_unit_test(both_spellings),
        cmocka_unit_test(unknown_keys_are_warnings_when_lenient),
        cmocka_unit_test(brokers),
        cmocka_unit_test(bad_brokers),
        cmocka_unit_test(connections),
        cmocka_unit_test(coap_and_http),
        cmocka_unit_test(generators),
        cmocka_unit_test(useless_settings_are_warned_of),
        cmocka_unit_test(decimals),
        cmocka_unit_test(attributes),
        cmocka_unit_test(who_needs_telemetry),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

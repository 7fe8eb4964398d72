/* The short way of small QoS 0 messages: the packet is written here, with one send() and no copy in between.
 * In the library such a message costs three allocations, a dozen locked mutexes and a walk over a client
 * object that is rarely in the cache: about a tenth of the whole cost of a message.
 *
 * The library knows nothing of these packets, so the two must not mix within one packet: the short way is
 * open only while nothing of the library's waits for the socket, and while the rest of a packet waits here,
 * the library only queues (it is told that another thread writes). */
#include "protocol/mqtt_link.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define PACKET_MAX 4096
#define HEADER_MAX 5 /* type, and a remaining length below 2^28 */
#define PUBLISH    0x30
#define RETAIN     0x01
#define REST_TOKEN 0 /* the library's message ids begin with 1 */

struct ix_mqtt_rest {
    struct ix_mqtt_rest *next;
    const struct ix_mqtt_link *link;
    size_t len;
    unsigned char bytes[];
};

/* Plain characters only: what MQTT forbids, and what must be proved to be UTF-8, is left to the library. */
static unsigned char *put_topic(unsigned char *out, const char *topic, const unsigned char *end)
{
    unsigned char *at = out + 2;
    for (; *topic; topic++) {
        if (at == end || *topic < ' ' || *topic == '+' || *topic == '#' || *topic == 0x7f)
            return NULL;
        *at++ = (unsigned char)*topic;
    }
    size_t len = (size_t)(at - out - 2);
    out[0] = (unsigned char)(len >> 8);
    out[1] = (unsigned char)len;
    return len > 0 ? at : NULL;
}

/* Right in front of `body`; returns where the packet begins. */
static unsigned char *put_header(unsigned char *body, size_t len, bool retain)
{
    unsigned char header[HEADER_MAX];
    size_t size = 0;
    header[size++] = PUBLISH | (retain ? RETAIN : 0);
    for (; len > 0x7f; len >>= 7)
        header[size++] = (unsigned char)(len | 0x80);
    header[size++] = (unsigned char)len;
    return memcpy(body - size, header, size);
}

static void keep_rest(struct ix_mqtt_link *link, const unsigned char *bytes, size_t len)
{
    struct ix_mqtt_transport *transport = link->transport;
    struct ix_mqtt_rest *rest = ix_malloc(sizeof(*rest) + len);
    rest->next = transport->rests;
    rest->link = link;
    rest->len = len;
    memcpy(rest->bytes, bytes, len);
    transport->rests = rest;
    link->has_rest = true;
    link->pending++;
    mosquitto_threaded_set(link->client, true);
    ix_mqtt_link_watch(link);
}

int ix_mqtt_direct_publish(struct ix_mqtt_link *link, const struct ix_message *message, uint16_t *token)
{
    static unsigned char packet[HEADER_MAX + PACKET_MAX];
    unsigned char *body = packet + HEADER_MAX, *end = packet + sizeof(packet);
    if (link->transport->tls != NULL || link->transport->version != MQTT_PROTOCOL_V311 || link->inside ||
        link->poll.events != EPOLLIN || message->len > PACKET_MAX / 2)
        return -EOPNOTSUPP;
    unsigned char *at = put_topic(body, message->topic, end - message->len);
    if (at == NULL)
        return -EOPNOTSUPP;
    if (message->len > 0)
        memcpy(at, message->payload, message->len);
    at += message->len;
    unsigned char *begin = put_header(body, (size_t)(at - body), message->retain);
    ssize_t sent = send(link->poll.fd, begin, (size_t)(at - begin), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent == at - begin)
        return IX_PUBLISHED;
    if (sent < 0 && (errno == EAGAIN || errno == EINTR))
        return -EOPNOTSUPP;
    if (sent < 0) {
        int error = errno;
        ix_mqtt_link_fault_later(link, error == ECONNRESET ? MOSQ_ERR_CONN_LOST : MOSQ_ERR_ERRNO, error);
        return -ENOTCONN;
    }
    keep_rest(link, begin + sent, (size_t)(at - begin - sent));
    *token = REST_TOKEN;
    return 0;
}

static struct ix_mqtt_rest **find_rest(struct ix_mqtt_link *link)
{
    struct ix_mqtt_rest **place = &link->transport->rests;
    while ((*place)->link != link)
        place = &(*place)->next;
    return place;
}

static void free_rest(struct ix_mqtt_link *link, struct ix_mqtt_rest **place)
{
    struct ix_mqtt_rest *rest = *place;
    *place = rest->next;
    free(rest);
    link->has_rest = false;
}

void ix_mqtt_direct_write(struct ix_mqtt_link *link)
{
    struct ix_mqtt_rest **place = find_rest(link), *rest = *place;
    ssize_t sent = send(link->poll.fd, rest->bytes, rest->len, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0) {
        if (errno != EAGAIN && errno != EINTR)
            ix_mqtt_link_fault(link, errno == ECONNRESET ? MOSQ_ERR_CONN_LOST : MOSQ_ERR_ERRNO, errno);
        return;
    }
    rest->len -= (size_t)sent;
    memmove(rest->bytes, rest->bytes + sent, rest->len);
    if (rest->len > 0)
        return;
    free_rest(link, place);
    link->pending--;
    if (link->transport->events.acked != NULL)
        link->transport->events.acked(link->owner, REST_TOKEN, true);
    mosquitto_threaded_set(link->client, false); /* now: what is published inside the event is queued, too */
}

void ix_mqtt_direct_discard(struct ix_mqtt_link *link)
{
    if (link->has_rest)
        free_rest(link, find_rest(link));
}

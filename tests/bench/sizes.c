/* Where the bytes of a connected device are: sizes of what iotix keeps for each, and what the library's client takes from
 * the heap. Prints one line of JSON, in bytes. */
#include "device/internal.h"
#include "protocol/mqtt_link.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

#define CLIENTS 1000

static size_t in_use(void)
{
    return mallinfo2().uordblks;
}

static struct mosquitto *make_client(int number)
{
    char id[32];
    snprintf(id, sizeof(id), "bench-%d", number);
    struct mosquitto *client = mosquitto_new(id, true, NULL);
    if (client == NULL)
        exit(1);
    mosquitto_int_option(client, MOSQ_OPT_SEND_MAXIMUM, 0);
    mosquitto_connect_bind_async(client, "127.0.0.1", 1, 60, NULL); /* nobody listens */
    return client;
}

/* As the adapter makes them, up to the connection. The first one also makes what all share. */
static double client_bytes(void)
{
    static struct mosquitto *clients[CLIENTS + 1];
    mosquitto_lib_init();
    ix_mqtt_interpose(true);
    clients[CLIENTS] = make_client(CLIENTS);
    size_t before = in_use();
    for (int i = 0; i < CLIENTS; i++)
        clients[i] = make_client(i);
    double bytes = (double)(in_use() - before) / CLIENTS;
    for (int i = 0; i <= CLIENTS; i++)
        mosquitto_destroy(clients[i]);
    ix_mqtt_interpose(false);
    return bytes;
}

int main(void)
{
    void *link = malloc(sizeof(struct ix_mqtt_link));
    printf("{\"slot\": %zu, \"wheel entry in it\": %zu, \"row\": %zu, \"place\": %zu, \"link\": %zu, "
           "\"wheel entry in the link\": %zu, \"client of the library\": %.0f}\n",
           sizeof(struct ix_device), sizeof(struct ix_wheel_entry), sizeof(struct ix_device_row),
           sizeof(uint32_t), malloc_usable_size(link) + sizeof(size_t), sizeof(struct ix_wheel_entry),
           client_bytes());
    free(link);
    return 0;
}

/* What a service manager is told: sd_notify(3) in one datagram. */
#ifndef IX_CLI_NOTIFY_H
#define IX_CLI_NOTIFY_H

/* "READY=1"; nothing happens where nobody listens (no NOTIFY_SOCKET). */
void ix_notify(const char *state);

#endif

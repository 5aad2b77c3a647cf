/*
 * The program inside the benchmark's dynos and containers: it says when it began to run, on CLOCK_MONOTONIC, which every
 * container shares with whoever asked for the start. Static and tiny, so that what is measured is the platform.
 *
 *     tick now     prints the instant (ns) and ends
 *     tick stay    prints it and waits for a signal
 *     tick serve   prints it and when it listens on $PORT, then answers every request with both and its host name
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static long long now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000LL + t.tv_nsec;
}

int main(int argc, char **argv) {
  long long began = now();
  const char *mode = argc > 1 ? argv[1] : "now";
  if (strcmp(mode, "serve") != 0) {
    printf("tick %lld\n", began);
    fflush(stdout);
    if (strcmp(mode, "stay") == 0) pause();
    return 0;
  }
  int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(atoi(getenv("PORT")))};
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(listener, (struct sockaddr *)&at, sizeof at) != 0 || listen(listener, 128) != 0) return 1;
  long long bound = now();
  printf("tick %lld %lld\n", began, bound);
  fflush(stdout);
  char host[256] = "", in[4096], body[512], out[1024];
  gethostname(host, sizeof host - 1);
  int length = snprintf(body, sizeof body, "%s %lld %lld\n", host, began, bound);
  int size = snprintf(out, sizeof out, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", length, body);
  for (;;) {
    int client = accept(listener, 0, 0);
    if (client < 0) continue;
    if (read(client, in, sizeof in) > 0 && write(client, out, size) < 0) perror("write");
    shutdown(client, SHUT_WR);
    while (read(client, in, sizeof in) > 0) continue; /* else the close is a reset */
    close(client);
  }
}

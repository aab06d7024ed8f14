/* A server on libmicrohttpd, with a thread for each connection, as its manual shows: what a program
   written for it looks like. It knows nothing of Bobbin.

   usage: microhttpd_server ADDRESS PORT FILE

   GET /file sends FILE from its descriptor, any other GET a line of text, POST counts the bytes of
   its body. SIGTERM or SIGINT stops it. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *served;

static enum MHD_Result send_text(struct MHD_Connection *connection, unsigned status,
                                 const char *text) {
  struct MHD_Response *response =
      MHD_create_response_from_buffer(strlen(text), (void *)text, MHD_RESPMEM_MUST_COPY);
  enum MHD_Result result = MHD_queue_response(connection, status, response);
  MHD_destroy_response(response);
  return result;
}

static enum MHD_Result send_file(struct MHD_Connection *connection) {
  struct stat about;
  int fd = open(served, O_RDONLY);
  if (fd < 0 || fstat(fd, &about) != 0)
    return send_text(connection, MHD_HTTP_NOT_FOUND, strerror(errno));
  struct MHD_Response *response = MHD_create_response_from_fd(about.st_size, fd);
  enum MHD_Result result = MHD_queue_response(connection, MHD_HTTP_OK, response);
  MHD_destroy_response(response);
  return result;
}

static enum MHD_Result answer(void *unused, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version, const char *body,
                              size_t *body_size, void **state) {
  (void)unused, (void)version, (void)body;
  size_t *posted = *state;
  if (posted == NULL) {
    *state = calloc(1, sizeof *posted);
    return *state != NULL ? MHD_YES : MHD_NO;
  }
  if (strcmp(method, "POST") == 0) {
    char text[64];
    if (*body_size != 0) {
      *posted += *body_size;
      *body_size = 0;
      return MHD_YES;
    }
    snprintf(text, sizeof text, "%zu bytes\n", *posted);
    return send_text(connection, MHD_HTTP_OK, text);
  }
  if (strcmp(url, "/file") == 0) return send_file(connection);
  return send_text(connection, MHD_HTTP_OK, "an answer\n");
}

static void completed(void *unused, struct MHD_Connection *connection, void **state,
                      enum MHD_RequestTerminationCode why) {
  (void)unused, (void)connection, (void)why;
  free(*state);
}

int main(int argc, char **argv) {
  struct sockaddr_in address = {.sin_family = AF_INET};
  sigset_t stops;
  int caught;
  if (argc != 4 || inet_pton(AF_INET, argv[1], &address.sin_addr) != 1) return 2;
  address.sin_port = htons(atoi(argv[2]));
  served = argv[3];
  sigemptyset(&stops);
  sigaddset(&stops, SIGTERM);
  sigaddset(&stops, SIGINT);
  pthread_sigmask(SIG_BLOCK, &stops, NULL);
  struct MHD_Daemon *daemon =
      MHD_start_daemon(MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD |
                           MHD_USE_POLL | MHD_USE_ERROR_LOG,
                       0, NULL, NULL, &answer, NULL, MHD_OPTION_SOCK_ADDR,
                       (struct sockaddr *)&address, MHD_OPTION_CONNECTION_LIMIT, 2000u,
                       MHD_OPTION_NOTIFY_COMPLETED, &completed, NULL, MHD_OPTION_END);
  if (daemon == NULL) return 1;
  sigwait(&stops, &caught);
  MHD_stop_daemon(daemon);
  puts("stopped");
  return 0;
}
